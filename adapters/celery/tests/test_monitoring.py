"""What `celery inspect` and Celery's events, which Flower shows, say of jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from celery import Celery
from celery_bench import Bench

from mageflow_conformance.backends.place import Place
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature
from mageflow_core.errors import TaskFailed

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("any_bench", ["redis", "rabbitmq"], indirect=True),
]
CELERY = ("celery", "-A", "celery_bench.commands:client", "worker", "-c", "1", "-E")
MAGEFLOW = ("mageflow", "worker", "celery_bench.commands")


async def asked(app: Celery, question: str) -> dict[str, Any]:
    """What the one worker there is answers, by its name."""
    inspect = app.control.inspect(timeout=20, limit=1)
    return dict(await asyncio.to_thread(getattr(inspect, question)) or {})


@pytest.mark.parametrize("command", [CELERY, MAGEFLOW])
async def test_inspect_tells_what_runs_and_what_has_run(
    any_bench: Bench, place: Place, command: tuple[str, ...]
) -> None:
    # Given a worker that has run one job and runs another
    place.start(*command, MAGEFLOW_CELERY_PROCESSES="1")
    client = await any_bench.client()
    quick = await client.start(TaskSignature(task="quick"), {"n": 1})
    assert await quick.result(timeout=40) == 2
    held = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=20)
    # Then what runs is told of by its task's name, with the id that its run is found by
    ((worker, active),) = (await asked(client.native, "active")).items()
    assert [(job["name"], job["id"]) for job in active] == [("mageflow:hold", f"{held.id}.1.1")]
    assert active[0]["args"] == []
    # And the tasks that it has had, beside native ones, and how often
    registered = (await asked(client.native, "registered"))[worker]
    assert {"bench:native", "mageflow:hold", "mageflow:quick"} <= set(registered)
    stats = (await asked(client.native, "stats"))[worker]
    assert stats["total"] == {"mageflow:hold": 1, "mageflow:quick": 1}
    assert stats["pool"]["max-concurrency"] == 1
    # And nothing of it when it is over
    place.let("go")
    await held.result(timeout=20)
    await eventually(lambda: nothing_runs(client.native, worker), within=20)


async def nothing_runs(app: Celery, worker: str) -> bool:
    return bool((await asked(app, "active")).get(worker) == [])


@contextmanager
def events(app: Celery) -> Iterator[list[dict[str, Any]]]:
    """Those of tasks, as they come; it listens once this is entered."""
    found: list[dict[str, Any]] = []
    over, listens = threading.Event(), threading.Event()

    def listen() -> None:
        with app.connection_for_read() as own:
            receiver = app.events.Receiver(own, handlers={"*": found.append})
            with receiver.consumer_context() as (connection, _, _):
                listens.set()
                while not over.is_set():
                    try:
                        connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=listen)
    thread.start()
    assert listens.wait(20)
    try:
        yield found
    finally:
        over.set()
        thread.join(20)


def states(seen: list[dict[str, Any]], job: str) -> list[str]:
    """What a monitor is told of one job. By names: a worker sends some at once, and others later,
    with a clock to put them in order by."""
    return sorted(each["type"] for each in seen if each.get("uuid") == job)


def told(seen: list[dict[str, Any]], job: str, wanted: list[str]) -> bool:
    found = states(seen, job)
    assert set(found) <= set(wanted), f"{job}: {found}"
    return found == wanted


async def test_events_tell_how_each_job_ends(any_bench: Bench, place: Place) -> None:
    # Given a monitor that listens to a worker
    client = await any_bench.client()
    with events(client.native) as seen:
        place.start(*CELERY)
        done = await client.start(TaskSignature(task="quick"), {"n": 1})
        assert await done.result(timeout=40) == 2
        failing = await client.start(TaskSignature(task="fail"))
        with pytest.raises(TaskFailed):
            await failing.result(timeout=20)
        # When the broker gives a job once more, which is over
        again = f"{done.id}.1.1"
        headers = {"mf-key": done.id, "mf-attempt": "1", "mf-send": "1", "mf-task": "quick"}
        await asyncio.to_thread(
            client.native.send_task,
            "mageflow:quick",
            task_id=f"{again}-twice",
            headers={**headers, "mf-backend": "celery", "mf-ns": any_bench.namespace},
        )
        # Then each is seen to begin and to end, under the name of its task
        last = f"{failing.id}.2.2"  # the second attempt, and sending
        for job, end in (
            (again, "succeeded"),
            (f"{again}-twice", "succeeded"),
            (f"{failing.id}.1.1", "succeeded"),
            (last, "failed"),
        ):
            wanted = sorted(["task-received", "task-started", f"task-{end}"])
            await eventually(partial(told, seen, job, wanted), within=40, about=f"{job} {end}")
    said = {(each["uuid"], each["type"]): each for each in seen if "uuid" in each}
    assert said[again, "task-received"]["name"] == "mageflow:quick"
    assert said[last, "task-failed"]["exception"] == "ValueError('swordfish')"
    assert said[f"{again}-twice", "task-succeeded"]["result"] == "'skipped'"
