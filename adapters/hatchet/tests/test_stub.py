"""The emulated engine, where Hatchet's own worker depends on what the real one does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mageflow_hatchet.stub.engine import Engine, Refused
from mageflow_hatchet.stub.record import Record


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    with closing(Record(str(tmp_path / "runs.db"))) as record:
        yield record


async def test_a_worker_may_beat_before_it_listens_but_not_after_its_stream_has_ended(
    record: Record,
) -> None:
    # Given a worker whose first heartbeat is there before its stream is
    engine = Engine(record)
    worker = engine.register("worker", ["ns.task:ns.task"], {})
    # Then it is taken: one that is refused has Hatchet's worker break off its stream
    engine.beat(worker.id)
    stream = engine.listen(worker.id)
    engine.beat(worker.id)
    # When the stream has ended, or the engine was started anew
    engine.unheard(worker.id, stream)
    for at in (engine, Engine(record)):
        # Then the worker is to listen again
        with pytest.raises(Refused, match="stream is not active"):
            at.beat(worker.id)
