"""Bodies that are coroutines: results, timeouts, being stopped, and what they may do to us."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_core import Cause, Mageflow, chain, swarm
from mageflow_core.errors import RunCanceled, TaskFailed

Until = Callable[..., Awaitable[None]]


class Stopped:
    """A body that says when it runs, and keeps what stopped it."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cleaned = asyncio.Event()
        self.seen: list[type[BaseException]] = []
        self.runs = 0

    async def __call__(self) -> str:
        self.runs += 1
        self.began.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.seen.append(type(error))
            raise
        finally:
            self.cleaned.set()
        return "never"


async def test_an_async_body_gives_its_result(mf: Mageflow) -> None:
    @mf.task
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    assert await add.run({"a": 1, "b": 2}) == 3


async def test_calling_a_task_calls_the_function_and_nothing_more(mf: Mageflow) -> None:
    @mf.task
    async def add(a: int, b: int) -> int:
        return a + b

    assert await add(1, 2) == 3
    assert await mf.find() == []


# --- timeouts --------------------------------------------------------------------------------


async def test_a_body_that_takes_too_long_is_cancelled_and_cleans_up(mf: Mageflow) -> None:
    # Given a body that never ends
    body = Stopped()
    mf.task(name="slow", timeout=0.01)(body.__call__)
    # When its timeout is over
    run = await mf.start("slow")
    with pytest.raises(TaskFailed) as failed:
        await run.result(timeout=10)
    # Then it has seen a CancelledError, its cleanup ran, and the error says what happened
    assert body.seen == [asyncio.CancelledError]
    assert body.cleaned.is_set()
    error = failed.value.error
    assert error is not None
    assert error.cause is Cause.TIMEOUT
    assert (error.type, error.message) == ("TimeoutError", "took longer than its timeout of 0.01 s")
    assert (error.task, error.key, error.attempts) == ("slow", run.key, 1)


async def test_the_traceback_of_a_timeout_shows_where_the_body_was(mf: Mageflow) -> None:
    body = Stopped()
    mf.task(name="slow", timeout=0.01)(body.__call__)
    with pytest.raises(TaskFailed) as failed:
        await (await mf.start("slow")).result(timeout=10)
    assert failed.value.error is not None
    assert "await asyncio.Event().wait()" in failed.value.error.traceback


async def test_an_attempt_that_timed_out_counts_and_is_retried(mf: Mageflow) -> None:
    attempts = 0

    @mf.task(timeout=0.01, retries=2, name="slow")
    async def slow() -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            await asyncio.Event().wait()
        return attempts

    quick = slow.sign().options(retries=_at_once(2))
    assert await (await mf.start(quick)).result(timeout=10) == 3


async def test_a_body_that_answers_its_timeout_with_a_result_has_that_result(mf: Mageflow) -> None:
    @mf.task(timeout=0.01)
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "in the end"
        return "never"

    assert await (await stubborn.start()).result(timeout=10) == "in the end"


async def test_a_body_that_answers_its_timeout_with_an_error_failed_with_that(mf: Mageflow) -> None:
    @mf.task(timeout=0.01)
    async def clumsy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("while cleaning up")

    with pytest.raises(TaskFailed, match="LookupError: while cleaning up"):
        await (await clumsy.start()).result(timeout=10)


async def test_the_default_timeout_holds_where_a_task_says_nothing(make_app: Any) -> None:
    mf: Mageflow = await make_app(default_timeout=0.01)
    body = Stopped()
    mf.task(name="slow")(body.__call__)
    with pytest.raises(TaskFailed, match=r"timeout of 0\.01 s"):
        await (await mf.start("slow")).result(timeout=10)


async def test_the_timeout_of_a_signature_is_stronger_than_that_of_its_task(mf: Mageflow) -> None:
    @mf.task(timeout=0.001)
    async def patient() -> str:
        await asyncio.sleep(0.01)
        return "there"

    assert await (await mf.start(patient.sign().options(timeout=60))).result(timeout=10) == "there"


# --- being stopped ---------------------------------------------------------------------------


async def test_a_canceled_body_sees_it_and_its_run_is_canceled(mf: Mageflow) -> None:
    # Given a body that runs
    body = Stopped()
    mf.task(name="slow")(body.__call__)
    run = await mf.start("slow")
    await body.began.wait()
    # When its run is canceled
    assert await run.cancel()
    # Then the body is stopped and there is no result
    await body.cleaned.wait()
    with pytest.raises(RunCanceled, match="canceled"):
        await run.result(timeout=10)
    assert body.seen == [asyncio.CancelledError]


async def test_an_interrupted_body_runs_again_after_resume_as_the_same_attempt(
    mf: Mageflow, has_status: Until
) -> None:
    # Given a body that is stopped in its first run
    attempts: list[int] = []
    began = asyncio.Event()

    @mf.task(name="slow")
    async def slow(ctx: Any = None) -> str:
        attempts.append(1)
        began.set()
        if len(attempts) == 1:
            await asyncio.Event().wait()
        return "done"

    run = await mf.start("slow")
    await began.wait()
    # When it is interrupted and resumed
    assert await run.interrupt()
    await has_status(run, "interrupted")
    assert await run.resume()
    # Then it runs again, and the attempt was not counted
    assert await run.result(timeout=10) == "done"
    assert (await run.view()).attempt == 1
    assert len(attempts) == 2


async def test_an_interrupt_reaches_all_bodies_below_and_no_others(mf: Mageflow) -> None:
    # Given two swarms whose items run
    bodies = {name: Stopped() for name in ("a", "b", "c")}
    for name, body in bodies.items():
        mf.task(name=name)(body.__call__)
    inside = await mf.start(swarm("a", chain("b", "a")))
    beside = await mf.start(swarm(["c"]))
    for body in bodies.values():
        await body.began.wait()
    # When one is interrupted
    await inside.interrupt()
    # Then its bodies are stopped
    await bodies["a"].cleaned.wait()
    await bodies["b"].cleaned.wait()
    assert not bodies["c"].cleaned.is_set()
    await inside.cancel()
    await beside.cancel()


async def test_a_body_that_swallows_its_cancellation_has_its_result_applied(mf: Mageflow) -> None:
    began = asyncio.Event()

    @mf.task
    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "kept"
        return "never"

    run = await mf.start(stubborn)
    await began.wait()
    await run.interrupt()
    assert await run.result(timeout=10) == "kept"


async def test_a_body_stopped_before_its_first_step_is_put_back(mf: Mageflow) -> None:
    # Given a body whose claim is granted in the turn of the loop in which it is interrupted
    ran = 0

    @mf.task
    async def quick() -> int:
        nonlocal ran
        ran += 1
        return ran

    run = await mf.start(quick)
    site: Any = mf._site
    begin = site.runner._inputs.bind

    async def bind(task: Any, work: Any, body: Any, native: Any) -> Any:
        site.runner._inputs.bind = begin
        await run.interrupt()
        return await begin(task, work, body, native)

    site.runner._inputs.bind = bind
    # When that is resumed
    while not (await run.view()).queued_at or site.runner._inputs.bind is bind:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    await run.resume()
    # Then it runs once, and nothing was left unawaited (warnings are errors here)
    assert await run.result(timeout=1) == 1


# --- bodies that mean to end more than themselves ----------------------------------------------


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt()])
async def test_a_body_that_wants_to_end_the_process_fails_instead(
    mf: Mageflow, ending: BaseException
) -> None:
    @mf.task
    async def leave() -> None:
        raise ending

    with pytest.raises(TaskFailed, match=type(ending).__name__):
        await (await leave.start()).result(timeout=10)


async def test_a_body_that_calls_sys_exit_fails_and_the_next_one_runs(mf: Mageflow) -> None:
    @mf.task
    async def leave() -> None:
        sys.exit("enough")

    @mf.task
    async def stay() -> str:
        return "here"

    with pytest.raises(TaskFailed, match="SystemExit: enough"):
        await (await leave.start()).result(timeout=10)
    assert await stay.run() == "here"


async def test_a_body_that_cancels_itself_fails(mf: Mageflow) -> None:
    @mf.task
    async def giving_up() -> None:
        raise asyncio.CancelledError("by itself")

    with pytest.raises(TaskFailed, match="CancelledError: by itself"):
        await (await giving_up.start()).result(timeout=10)


async def test_a_body_that_raises_something_of_no_known_kind_fails(mf: Mageflow) -> None:
    class Odd(BaseException):
        pass

    @mf.task
    async def odd() -> None:
        raise Odd("odd")

    with pytest.raises(TaskFailed, match="Odd: odd"):
        await (await odd.start()).result(timeout=10)


async def test_an_error_whose_text_cannot_be_made_is_an_error_all_the_same(mf: Mageflow) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @mf.task
    async def mute() -> None:
        raise Mute

    with pytest.raises(TaskFailed, match="text cannot be read: RuntimeError"):
        await (await mute.start()).result(timeout=10)


async def test_an_error_with_text_that_is_no_unicode_is_readable(mf: Mageflow) -> None:
    @mf.task
    async def odd() -> None:
        raise ValueError("a lone \ud800 surrogate")

    with pytest.raises(TaskFailed, match=r"a lone \\ud800 surrogate"):
        await (await odd.start()).result(timeout=10)


async def test_a_huge_error_text_is_cut(mf: Mageflow) -> None:
    @mf.task
    async def verbose() -> None:
        raise ValueError("x" * 1_000_000)

    with pytest.raises(TaskFailed) as failed:
        await (await verbose.start()).result(timeout=10)
    assert failed.value.error is not None
    assert len(failed.value.error.message) < 10_000
    assert len(failed.value.error.traceback) < 40_000


# --- context variables -------------------------------------------------------------------------


async def test_bodies_do_not_see_each_others_context_variables(mf: Mageflow) -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")

    @mf.task
    async def change() -> str:
        before = mine.get()
        mine.set("changed")
        return before

    results = await (await mf.start(chain(change, change, change))).result(timeout=10)
    assert results == "unset"


async def test_bodies_do_not_see_the_context_of_whoever_opened_the_app() -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")
    mine.set("of the first request")
    async with Mageflow() as mf:

        @mf.task
        async def look() -> str:
            return mine.get()

        assert await look.run() == "unset"


async def test_what_a_body_starts_is_its_own_apps_whatever_other_apps_there_are(
    make_app: Any,
) -> None:
    # Given two apps in one process
    first: Mageflow = await make_app()
    second: Mageflow = await make_app(namespace="second")

    @second.task(name="leaf")
    async def leaf() -> str:
        return "of the second"

    @second.task
    async def root() -> str:
        run = await chain("leaf").start()
        return run.key

    # When a body of one starts a flow by the module's functions
    key = await root.run()
    # Then that is a flow of the same app
    assert await (await second.load(key)).result(timeout=10) == "of the second"
    assert await first.find() == []


def _at_once(retries: int) -> Any:
    from mageflow_core import Retry

    return Retry(retries=retries, delay=0)
