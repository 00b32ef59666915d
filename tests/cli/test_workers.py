"""`mageflow workers`."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from mageflow.cli import workers
from mageflow_core.stores.protocol import WorkerInfo

Ran = Callable[..., Any]

ALIVE = {
    "id": "east-7-0badcafe",
    "host": "east",
    "pid": 12345,
    "slots": 8,
    "running": 3,
    "backends": frozenset({"taskiq", "asyncio"}),
    "tasks": frozenset({"fetch", "count", "mageflow.branch"}),
}


@pytest.fixture
def alive(acts: Any, shared: type[Any]) -> list[WorkerInfo]:
    """Two workers that have announced themselves."""
    now = time.time()
    found = [
        WorkerInfo(**ALIVE, started_at=now - 7_200, seen_at=now),  # type: ignore[arg-type]
        WorkerInfo(id="west-1-feedbeef", tasks=frozenset(), slots=100),
    ]

    async def announce(mf: Any) -> None:
        store = await mf.opened()
        for each in found:
            await store.renew(each)

    acts(announce)
    return found


def test_those_that_are_alive_are_a_table(ran: Ran, alive: list[WorkerInfo]) -> None:
    result = ran(0, "workers")
    header, east, west = (line.split() for line in result.stdout.splitlines())
    assert header == list(workers.COLUMNS)
    assert east[:7] == ["east-7-0badcafe", "east", "12345", "3", "8", "asyncio,", "taskiq"]
    assert east[7] == "2"
    assert " ".join(east).endswith(" ago")
    assert west[:3] == ["west-1-feedbeef", "0", "0"]
    assert result.stderr == ""


def test_as_json_a_worker_has_these_keys(ran: Ran, alive: list[WorkerInfo]) -> None:
    east, west = json.loads(ran(0, "workers", "--json").stdout)
    assert set(east) == {
        "id",
        "host",
        "pid",
        "running",
        "slots",
        "backends",
        "tasks",
        "started_at",
        "seen_at",
    }
    assert east["backends"] == ["asyncio", "taskiq"]
    assert east["tasks"] == ["count", "fetch"]
    assert east["started_at"] == alive[0].started_at
    assert east["seen_at"] >= alive[0].seen_at
    assert (west["id"], west["tasks"]) == ("west-1-feedbeef", [])


def test_without_any_it_says_how_to_start_one(ran: Ran, shared: type[Any]) -> None:
    result = ran(0, "workers")
    assert result.stdout == ""
    assert result.stderr == "mageflow: no worker is alive: `mageflow worker MODULE` starts one\n"
    assert json.loads(ran(0, "workers", "--json").stdout) == []


def test_who_only_looks_is_no_worker(ran: Ran, shared: type[Any]) -> None:
    # When commands look at the store, then none of them says that it works
    for _ in range(2):
        assert json.loads(ran(0, "workers", "--json").stdout) == []


def test_a_store_that_does_not_answer_is_a_failure(
    complains: Callable[..., str], shared: type[Any]
) -> None:
    shared.away = 1
    assert "does not answer" in complains(1, "workers")
