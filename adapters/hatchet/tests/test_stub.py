"""The emulated engine, where Hatchet's own worker depends on what the real one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mageflow_hatchet.stub.engine import Engine, Refused
from mageflow_hatchet.stub.record import Record


async def test_a_worker_may_beat_before_it_listens_but_not_after_its_stream_has_ended(
    tmp_path: Path,
) -> None:
    # Given a worker whose first heartbeat is there before its stream is
    path = str(tmp_path / "runs.db")
    engine = Engine(Record(path))
    worker = engine.register("worker", ["ns.task:ns.task"], {})
    # Then it is taken: one that is refused has Hatchet's worker break off its stream
    engine.beat(worker.id)
    stream = engine.listen(worker.id)
    engine.beat(worker.id)
    # When the stream has ended, or the engine was started anew
    engine.unheard(worker.id, stream)
    for at in (engine, Engine(Record(path))):
        # Then the worker is to listen again
        with pytest.raises(Refused, match="stream is not active"):
            at.beat(worker.id)
