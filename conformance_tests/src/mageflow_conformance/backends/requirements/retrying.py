"""B-RETRY: retry by hand, and steering of what has ended."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.steering import LONG, begun, bodies, go, other_work, steer
from mageflow_conformance.flows import call
from mageflow_conformance.witness import BEGUN, ENDED, STOPPED
from mageflow_core import Run, Status, chain, swarm
from mageflow_core.errors import CannotRetry, SwarmFailed, TaskFailed

MENDED = "mended"


@requirement(
    "B-RETRY-01",
    "Retry of a failed chain goes on from the step that failed: what is done does not run again; "
    "each time that it fails its error callbacks run once, and when it is done its success "
    "callbacks do.",
)
async def chain_retried(stage: Stage) -> None:
    await stage.worker()
    flow = chain(call("step"), call("mend"), call("work"))
    run = await stage.mf.start(flow.on_error(call("warned")).on_success(call("noted")), {"n": 0})
    for generation in (1, 2):
        with raises(TaskFailed) as caught:
            await run.result(timeout=LONG)
        error = caught.raised
        assert error.error is not None
        assert error.error.key == run[1].key
        await stage.kept(run)
        assert (await run.view()).generation == generation
        assert len(stage.ledger.of(ENDED, task="warned", below=run.id)) == generation
        if generation == 2:
            go(stage, MENDED)
        await run.retry()
    assert await run.result(timeout=LONG) == {"n": 3}
    await stage.kept(run)
    ran = bodies(stage, run)
    assert {key: attempts for key, attempts in ran.items() if "!" not in key} == {
        f"{run.id}/0": [1],
        f"{run.id}/1": [1, 1, 1],
        f"{run.id}/2": [1],
    }
    assert len(stage.ledger.of(ENDED, task="warned", below=run.id)) == 2
    assert len(stage.ledger.of(ENDED, task="noted", below=run.id)) == 1


@requirement(
    "B-RETRY-02",
    "Retry of a failed swarm runs only what has failed, or never began; the results of the others "
    "stay in their places.",
)
async def swarm_retried(stage: Stage) -> None:
    await stage.worker()
    items = [call("item", i=1), call("mend", n=1), call("item", i=3), call("mend", n=3)]
    items += [call("item", i=i) for i in range(4, 10)]
    flow = swarm(items, max_concurrency=1, stop_after_n_failures=2)
    run = await stage.mf.start(flow.on_error(call("noted")).on_success(call("noted")))
    with raises(SwarmFailed):
        await run.result(timeout=LONG)
    await stage.kept(run)
    assert len(stage.ledger.of(BEGUN, below=run.id)) == 5  # four items and a callback
    go(stage, MENDED)
    await run.retry()
    squares = [i * i for i in range(10)]
    assert await run.result(timeout=LONG) == [1, {"n": 2}, 9, {"n": 4}, *squares[4:]]
    await stage.kept(run)
    ran = {key: attempts for key, attempts in bodies(stage, run).items() if "!" not in key}
    assert ran == {f"{run.id}/{n}": [1, 1] if n in (1, 3) else [1] for n in range(10)}
    assert len(stage.ledger.of(ENDED, task="noted", below=run.id)) == 2


@requirement(
    "B-RETRY-03",
    "What was canceled, before its body began or while it ran, can be retried, and goes on where "
    "it was.",
)
async def canceled_retried(stage: Stage) -> None:
    queued = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    assert await queued.cancel()
    await stage.worker()
    running = await begun(stage, chain(call("step"), call("until"), call("step")), {"n": 0})
    await stage.ledger.has(BEGUN, below=running[1].key, within=LONG)
    assert await running.cancel()
    await running.wait(timeout=LONG)
    await stage.ledger.has(STOPPED, below=running.id, within=LONG)
    go(stage)
    for run, result in ((queued, {"n": 2}), (running, {"n": 3})):
        assert await run.status() is Status.CANCELED
        await run.retry()
        assert await run.result(timeout=LONG) == result
        await stage.kept(run)
    assert set(bodies(stage, queued)) == {f"{queued.id}/{n}" for n in range(2)}
    assert bodies(stage, running) == {
        f"{running.id}/{n}": [1, 1] if n == 1 else [1] for n in range(3)
    }


@requirement(
    "B-RETRY-04",
    "Retry of one item runs that one again, also while its swarm still runs; below a swarm that is "
    "done it is refused, since what came after has used the result.",
)
async def item_retried(stage: Stage) -> None:
    await stage.worker()
    run = await stage.mf.start(chain(swarm([call("mend"), call("until", n=4)]), call("step")), {})
    failed = run[0][0]
    assert (await failed.wait(timeout=LONG)).status is Status.FAILED
    await failed.retry()
    await stage.ledger.has(BEGUN, 2, below=failed.key, within=LONG)
    go(stage)
    await run.settled(timeout=LONG)
    assert await run[0].status() is Status.DONE
    assert await failed.status() is Status.FAILED
    with raises(CannotRetry) as caught:
        await failed.retry()
    error = caught.raised
    assert run[0].key in str(error)
    await stage.kept(run)
    assert bodies(stage, run)[failed.key] == [1, 1]


@requirement(
    "B-RETRY-05",
    "Of two clients that retry a run at once, one has it run again, once, and the other is told "
    "that it cannot.",
)
async def two_retries(stage: Stage) -> None:
    await stage.worker()
    second = await stage.watch()
    for generation in range(1, 6):
        run = await stage.mf.start(call("mend").on_error(call("noted")))
        await run.settled(timeout=LONG)
        theirs = await second.load(run.id)
        answers = await asyncio.gather(run.retry(), theirs.retry(), return_exceptions=True)
        assert sum(isinstance(answer, CannotRetry) for answer in answers) == 1, answers
        assert sum(answer is None for answer in answers) == 1
        await stage.kept(run)
        assert (await run.view()).generation == 2
        assert bodies(stage, run)[run.id] == [1, 1]
        assert len(stage.ledger.of(ENDED, task="noted")) == 2 * generation


@requirement(
    "B-RETRY-06",
    "Steering of what is done, failed or canceled changes nothing and says so, and what is done or "
    "runs cannot be retried.",
)
async def ended_steered(stage: Stage) -> None:
    await stage.worker()
    done = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    failed = await stage.mf.start(call("fail").on_error(call("warned")))
    canceled = await begun(stage, call("until"))
    assert await steer(stage, canceled, "cancel")
    for run in (done, failed, canceled):
        await stage.kept(run)
        before = await told(run)
        for verb in ("suspend", "interrupt", "resume", "cancel"):
            assert await getattr(run, verb)() is False
        assert await told(run) == before
    with raises(CannotRetry):
        await done.retry()
    running = await begun(stage, call("until", gate="later"))
    with raises(CannotRetry):
        await running.retry()
    await other_work(stage)
    go(stage, "later")
    assert await running.result(timeout=LONG) == {"n": 1}
    for run in (done, failed, canceled, running):
        await stage.kept(run)
        assert all(attempts == [1] for attempts in bodies(stage, run).values())


async def told(run: Run[Any]) -> tuple[Any, ...]:
    """All that there is to see of it."""
    return await run.tree(), await run.info(), await run.history()
