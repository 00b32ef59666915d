"""One flow over two engines, each with workers of its own, which are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow, Signature, Status, TaskSignature, chain, swarm

pytestmark = pytest.mark.timeout(150)
DOUBLES = Path(__file__).parent / "doubles"
LEASE = 2.0
CELERY = ("celery", "-A", "two_engines:client", "worker", "--concurrency", "2")
TASKIQ = ("taskiq", "worker", "two_engines:broker", "--workers", "1")
BOTH = ("mageflow", "worker", "two_engines")

Command = subprocess.Popen[str]


class Note(NamedTuple):
    """session: that of the command that has started the process."""

    task: str
    n: int
    what: str
    engine: str
    session: int
    pid: int


class Place:
    """Where commands are started, and where bodies write what they do."""

    def __init__(self, folder: Path, url: str, namespace: str) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.touch()
        self._url = url
        self._namespace = namespace
        self.started: list[Command] = []

    def start(self, command: tuple[str, ...]) -> Command:
        own = {name: value for name, value in os.environ.items() if name[:9] != "MAGEFLOW_"}
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env={
                    **own,
                    "ENGINES_CELERY": self._url,
                    "ENGINES_NOTES": str(self.notes),
                    "MAGEFLOW_STORE": self._url,
                    "MAGEFLOW_TASKIQ_URL": self._url,
                    "MAGEFLOW_NAMESPACE": self._namespace,
                    "MAGEFLOW_LEASE": str(LEASE),
                    "PYTHONPATH": str(DOUBLES),
                },
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,  # each of them starts others
            )
        self.started.append(process)
        return process

    def kill(self, process: Command) -> None:
        """It, and all that it has started."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def noted(self, task: str = "", what: str = "") -> list[Note]:
        lines = [line.split() for line in self.notes.read_text().splitlines()]
        notes = [Note(a, int(b), c, d, int(e), int(f)) for a, b, c, d, e, f in lines]
        return [each for each in notes if task in ("", each.task) and what in ("", each.what)]

    def let(self, name: str) -> None:
        (self.folder / name).touch()

    def client(self, **moved: str) -> Mageflow:
        """Of somebody who has none of the code, and so has to be told where tasks run."""
        return Mageflow(
            backend="celery,taskiq",
            moved_tasks={"ship": "taskiq", **moved},
            store=self._url,
            namespace=self._namespace,
            lease=LEASE,
            celery={"url": self._url, "queue": f"{self._namespace}.native"},
            taskiq={"url": self._url},
            warn_unclosed=False,
        )


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def place(redis: RedisServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    namespace = re.sub(r"\W+", "-", request.node.name).strip("-").lower()[:80]
    made = Place(tmp_path, redis.url, namespace)
    yield made
    for process in made.started:
        if process.poll() is None:
            made.kill(process)


@pytest.fixture
async def client(place: Place) -> AsyncIterator[Mageflow]:
    async with place.client() as app:
        yield app


async def test_a_chain_goes_from_one_engine_to_the_other_whoever_is_killed(
    place: Place, client: Mageflow
) -> None:
    # Given a chain whose first step runs on Celery, where its worker is killed
    workers = [place.start(CELERY), place.start(TASKIQ)]
    flow: Signature[Any] = chain(TaskSignature(task="buy"), TaskSignature(task="ship"))
    run = await client.start(flow, {"n": 1})
    await eventually(lambda: place.noted("buy"), within=40)
    place.kill(workers[0])
    # When another one comes, it runs there
    workers.append(place.start(CELERY))
    await eventually(lambda: len(place.noted("buy")) == 2, within=40)
    place.let("buy-1")
    # And the second step on Taskiq, where the same happens
    await eventually(lambda: place.noted("ship"), within=20)
    place.kill(workers[1])
    workers.append(place.start(TASKIQ))
    await eventually(lambda: len(place.noted("ship")) == 2, within=40)
    place.let("ship-2")
    # Then it has run to its end, each step where it belongs
    assert await run.result(timeout=30) == {"n": 20}
    begun = [(note.task, note.n, note.engine) for note in place.noted(what="begun")]
    assert begun == [("buy", 1, "celery")] * 2 + [("ship", 2, "taskiq")] * 2
    sessions = [note.session for note in place.noted(what="begun")]
    assert sessions == [workers[i].pid for i in (0, 2, 1, 3)]
    assert [note.session for note in place.noted(what="ended")] == [workers[i].pid for i in (2, 3)]


async def test_a_swarm_on_both_engines_ends_as_written_whoever_is_killed(
    place: Place, client: Mageflow
) -> None:
    # Given a swarm whose items run on either engine, and a worker of each
    workers = [place.start(CELERY), place.start(TASKIQ)]
    items: list[TaskSignature[Any]] = [
        TaskSignature(task=("buy", "ship")[n % 2], args={"n": n}) for n in range(12)
    ]
    flow = swarm(items, max_concurrency=6, success_callbacks=[TaskSignature(task="sum_up")])
    run = await client.start(flow)
    await eventually(lambda: len(place.noted("buy")) == 2, within=40)
    await eventually(lambda: len(place.noted("ship")) == 3, within=40)
    # When both are killed with all that they have started, and one comes that serves both
    for worker in workers:
        place.kill(worker)
    place.let("all")
    both = place.start(BOTH)
    # Then each item has its result, in order
    assert await run.result(timeout=60) == [{"n": (n + 1, 10 * n)[n % 2]} for n in range(12)]
    await run.settled(timeout=20)
    # And has ended once, where it belongs, with never more of them at a time than may be
    ended = place.noted(what="ended")
    assert {note.session for note in ended} == {both.pid}
    places = [(note.n, note.task, note.engine) for note in ended if note.task != "sum_up"]
    assert sorted(places) == [
        (n, *(("buy", "celery"), ("ship", "taskiq"))[n % 2]) for n in range(12)
    ]
    assert most_at_a_time(place.noted()) <= 6
    assert [note.n for note in place.noted("sum_up")] == [36 + 360]


async def test_what_runs_on_both_engines_is_interrupted_and_resumed_as_one(
    place: Place, client: Mageflow
) -> None:
    # Given a body on each engine, in one run
    for command in (CELERY, TASKIQ):
        place.start(command)
    flow = swarm([TaskSignature(task=task, args={"n": 1}) for task in ("buy", "ship")])
    run = await client.start(flow)
    await eventually(lambda: len(place.noted(what="begun")) == 2, within=40)
    # When it is interrupted
    await run.interrupt()
    # Then both have been stopped
    await eventually(lambda: len(place.noted(what="stopped")) == 2, within=20)
    assert await run.status() is not Status.DONE
    assert {note.engine for note in place.noted(what="stopped")} == {"celery", "taskiq"}
    # And run again where it is resumed
    place.let("all")
    await run.resume()
    assert await run.result(timeout=40) == [{"n": 2}, {"n": 10}]


async def test_a_native_task_of_one_engine_runs_on_the_other_where_the_settings_say_so(
    place: Place,
) -> None:
    # Given a task that is Celery's own and asks for retries, and only a worker of Taskiq's
    worker = place.start(TASKIQ)
    task = "shop.tasks.stubborn"
    async with place.client(**{task: "taskiq"}) as client:
        # When a flow has it
        run = await client.start(TaskSignature(task=task), {"n": 5})
        # Then it runs there, as often as it asks for
        assert await run.result(timeout=60) == [5, 2]
    assert [(note.what, note.session) for note in place.noted()] == [
        (attempt, worker.pid) for attempt in "012"
    ]


def most_at_a_time(notes: list[Note]) -> int:
    """Items that have begun and not ended; one that begins again is one."""
    running: set[int] = set()
    most = 0
    for note in notes:
        if note.what == "begun":
            running.add(note.n)
        else:
            running.discard(note.n)
        most = max(most, len(running))
    return most
