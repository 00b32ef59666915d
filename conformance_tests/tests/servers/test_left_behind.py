"""What is left of a server whose starter was killed: nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mageflow_conformance.servers import require_nats, require_rabbit
from mageflow_conformance.waiting import eventually_sync

STARTING = """
import sys
from mageflow_conformance import servers
server = getattr(servers, sys.argv[1])()
server.start()
print(server.folder, flush=True)
sys.stdin.readline()
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind", "require"), [("RabbitServer", require_rabbit), ("NatsServer", require_nats)]
)
def test_a_server_ends_with_all_that_it_has_started_when_its_starter_is_killed(
    kind: str,
    require: Callable[[], str],
    processes_of: Callable[[Path], list[int]],
    tmp_path: Path,
) -> None:
    # Given
    require()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTING, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with starter:
        assert starter.stdout is not None
        folder = Path(starter.stdout.readline().strip())
        assert processes_of(folder)
        # When
        starter.kill()
    # Then
    eventually_sync(lambda: not processes_of(folder), within=10.0, about="the end of all of it")
    shutil.rmtree(folder)
