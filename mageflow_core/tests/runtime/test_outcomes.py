"""Inputs and results that do not fit, retries, and what is known of a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from mageflow_core import (
    Cause,
    Context,
    ErrorInfo,
    Mageflow,
    Retry,
    chain,
)
from mageflow_core.backends import Delivery, Disposal, RetryAsked
from mageflow_core.errors import TaskFailed

Until = Callable[..., Awaitable[None]]


class Order(BaseModel):
    number: int


async def error_of(mf: Mageflow, signature: Any, message: Any = None) -> ErrorInfo:
    run = await mf.start(signature, {} if message is None else message)
    view = await run.wait(timeout=10)
    assert view.error is not None, view
    return view.error


# --- inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({}, "count"),
        ({"count": "many"}, "count"),
        ({"count": None}, "count"),
        ([1, 2], "count"),
    ],
)
async def test_input_that_does_not_fit_fails_before_the_body_and_without_retries(
    mf: Mageflow, message: Any, text: str
) -> None:
    ran = False

    @mf.task(retries=5)
    async def take(count: int) -> None:
        nonlocal ran
        ran = True

    error = await error_of(mf, take, message)
    assert error.cause is Cause.INPUT
    assert error.attempts == 1
    assert "'take'" in error.message
    assert text in error.message
    assert not ran


async def test_an_argument_bound_by_name_only_that_the_task_does_not_take_is_an_error(
    mf: Mageflow,
) -> None:
    from mageflow_core import sign

    @mf.task(retries=5)
    async def take(count: int = 1) -> None: ...

    run = await mf.start(sign("take", cuont=2))
    with pytest.raises(TaskFailed, match="cuont"):
        await run.result(timeout=10)
    error = (await run.view()).error
    assert error is not None
    assert error.cause is Cause.INPUT


async def test_a_validator_that_breaks_fails_the_task_and_nothing_else(mf: Mageflow) -> None:
    class Odd(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def look(cls, value: int) -> int:
            raise KeyError("the validator is broken")

    @mf.task
    async def take(odd: Odd) -> None: ...

    error = await error_of(mf, take, {"n": 1})
    assert error.cause is Cause.INPUT
    assert "the validator is broken" in error.message


async def test_input_that_did_not_fit_can_be_retried_by_hand(mf: Mageflow) -> None:
    # Given a step that got what it does not take
    fits = False

    class Late(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def look(cls, value: int) -> int:
            if not fits:
                raise ValueError("not yet deployed")
            return value

    @mf.task
    async def take(late: Late) -> int:
        return late.n

    run = await mf.start(take, {"n": 4})
    with pytest.raises(TaskFailed, match="not yet deployed"):
        await run.result(timeout=10)
    # When it is retried after the deploy
    fits = True
    await run.retry()
    # Then it runs
    assert await run.result(timeout=10) == 4


# --- results ---------------------------------------------------------------------------------


async def test_a_result_that_does_not_validate_fails_without_retries(mf: Mageflow) -> None:
    @mf.task(retries=5)
    async def make() -> Order:
        return {"number": "none"}  # type: ignore[return-value]

    error = await error_of(mf, make)
    assert error.cause is Cause.RESULT
    assert error.attempts == 1
    assert "'make' returned" in error.message


async def test_a_result_that_json_cannot_say_names_its_path(mf: Mageflow) -> None:
    @mf.task
    async def make() -> Any:
        return {"rows": [1, {2, 3}]}

    error = await error_of(mf, make)
    assert error.cause is Cause.RESULT
    assert "rows[1]" in error.message


async def test_a_serializer_that_breaks_fails_the_task_and_nothing_else(mf: Mageflow) -> None:
    from pydantic import field_serializer

    class Odd(BaseModel):
        n: int

        @field_serializer("n")
        def write(self, value: int) -> int:
            raise KeyError("the serializer is broken")

    @mf.task
    async def make() -> Odd:
        return Odd(n=1)

    error = await error_of(mf, make)
    assert error.cause is Cause.RESULT
    assert "serializer is broken" in error.message


@pytest.mark.parametrize("text", ["x" * 100, "é" * 50])
async def test_a_result_that_is_too_large_in_bytes_fails(make_app: Any, text: str) -> None:
    mf: Mageflow = await make_app(max_value_bytes=101)

    @mf.task
    async def make() -> str:
        return text

    error = await error_of(mf, make)
    assert error.cause is Cause.RESULT
    assert "max_value_bytes is 101" in error.message
    assert "102 bytes" in error.message


async def test_a_signature_whose_argument_is_too_large_fails_the_task_that_returns_it(
    make_app: Any,
) -> None:
    mf: Mageflow = await make_app(max_value_bytes=101)

    @mf.task
    async def take(text: str) -> None: ...

    @mf.task
    async def make() -> Any:
        return take.sign(text="x" * 100)

    error = await error_of(mf, make)
    assert error.cause is Cause.RESULT
    assert "argument 'text' of 'take' has 102 bytes; max_value_bytes is 101" in error.message


async def test_a_result_of_just_the_size_is_taken(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_value_bytes=102)

    @mf.task
    async def make() -> str:
        return "é" * 50

    assert await make.run() == "é" * 50


# --- retries ---------------------------------------------------------------------------------


async def test_a_task_without_retries_runs_once(mf: Mageflow) -> None:
    runs = 0

    @mf.task
    async def fail() -> None:
        nonlocal runs
        runs += 1
        raise ValueError("no")

    assert (await error_of(mf, fail)).attempts == 1
    assert runs == 1


async def test_a_task_is_retried_as_often_as_it_says(mf: Mageflow) -> None:
    attempts: list[int] = []

    @mf.task(retry=Retry(retries=3, delay=0))
    async def fail(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ValueError(f"attempt {ctx.attempt}")

    error = await error_of(mf, fail)
    assert attempts == [1, 2, 3, 4]
    assert (error.attempts, error.message) == (4, "attempt 4")


async def test_the_idempotency_key_is_the_same_for_all_attempts_and_the_fence_rises(
    mf: Mageflow,
) -> None:
    seen: list[tuple[str, int]] = []

    @mf.task(retry=Retry(retries=2, delay=0))
    async def fail(ctx: Context) -> None:
        seen.append((ctx.idempotency_key, ctx.fence))
        raise ValueError

    run = await mf.start(fail)
    await run.wait(timeout=10)
    assert len({key for key, _ in seen}) == 1
    assert [fence for _, fence in seen] == [1, 2, 3]
    # After a retry by hand it is another one
    await run.retry()
    await run.wait(timeout=10)
    assert len({key for key, _ in seen}) == 2


class Fatal(Exception):
    pass


class VeryFatal(Fatal):
    pass


@pytest.mark.parametrize(
    ("retry", "raised", "attempts"),
    [
        (Retry(retries=2, delay=0, on=(LookupError,)), KeyError("k"), 3),
        (Retry(retries=2, delay=0, on=(LookupError,)), ValueError("v"), 1),
        (Retry(retries=2, delay=0, on=("builtins.LookupError",)), KeyError("k"), 3),
        (Retry(retries=2, delay=0, never=(Fatal,)), VeryFatal("f"), 1),
        (Retry(retries=2, delay=0, never=(Fatal,)), ValueError("v"), 3),
        (Retry(retries=2, delay=0, on=(LookupError,), never=(KeyError,)), KeyError("k"), 1),
        (Retry(retries=2, delay=0, on=(LookupError,), never=(KeyError,)), IndexError("i"), 3),
    ],
)
async def test_what_is_retried_goes_by_the_class_of_the_exception(
    mf: Mageflow, retry: Retry, raised: Exception, attempts: int
) -> None:
    @mf.task(retry=retry)
    async def fail() -> None:
        raise raised

    assert (await error_of(mf, fail)).attempts == attempts


async def test_a_native_body_says_when_it_is_tried_again(mf: Mageflow) -> None:
    class Asked(RetryAsked):
        pass

    @mf.task(retry=Retry(retries=2, delay=3600, on=(Asked,)))
    async def ask() -> None:
        raise Asked("as its engine has been told", delay=-1)

    assert (await error_of(mf, ask)).attempts == 3


async def test_a_filter_by_dotted_name_needs_no_import(mf: Mageflow) -> None:
    name = f"{Fatal.__module__}.{Fatal.__qualname__}"

    @mf.task(retry=Retry(retries=2, delay=0, never=(name,)))
    async def fail() -> None:
        raise VeryFatal

    assert (await error_of(mf, fail)).attempts == 1


async def test_back_off_grows_within_its_jitter_by_the_apps_clock(
    make_app: Any, clock: Any, has_status: Until
) -> None:
    # Given a task that always fails, and a clock that stands still
    mf: Mageflow = await make_app(clock=clock)

    @mf.task(retry=Retry(retries=4, delay=10, factor=3, max_delay=100, jitter=0.5))
    async def fail() -> None:
        raise ValueError

    run = await mf.start(fail)
    # When each attempt has failed, then the next one is due within the jitter of its delay
    for full in (10, 30, 90, 100):
        await has_status(run, "retrying")
        due = (await run.view()).due_at
        assert due is not None
        assert full * 0.5 <= due - clock.now() <= full
        clock.advance(due - clock.now() - 0.001)
        for _ in range(20):
            await asyncio.sleep(0)
        assert await run.status() == "retrying"
        clock.advance(0.002)
        await _leaves(run, "retrying")
    assert (await run.wait(timeout=10)).attempt == 5


async def _leaves(run: Any, status: str) -> None:
    for _ in range(100):
        view = await run.view()
        if view.status != status or view.due_at is None:
            return
        await asyncio.sleep(0)


async def test_a_retry_without_jitter_is_due_exactly_then(
    make_app: Any, clock: Any, has_status: Until
) -> None:
    mf: Mageflow = await make_app(clock=clock)

    @mf.task(retry=Retry(retries=1, delay=7, jitter=0))
    async def fail() -> None:
        raise ValueError

    run = await mf.start(fail)
    await has_status(run, "retrying")
    assert (await run.view()).due_at == clock.now() + 7


async def test_the_default_retry_policy_of_a_number_has_jitter(mf: Mageflow) -> None:
    @mf.task(retries=3)
    async def task() -> None: ...

    assert task.options.retry is not None
    assert task.options.retry.jitter > 0


# --- the runner's answers to backends ------------------------------------------------------------


async def test_the_backend_is_told_how_a_delivery_ended(mf: Mageflow) -> None:
    # Given the runner behind an app
    site: Any = mf._site
    answers: list[tuple[str, Disposal]] = []
    run_one = site.runner.run

    async def run(delivery: Delivery) -> Any:
        handled = await run_one(delivery)
        answers.append((delivery.job.task, handled.disposal))
        return handled

    site.runner.run = run

    @mf.task
    async def work() -> None: ...

    @mf.task
    async def fail() -> None:
        raise ValueError

    # When one delivery succeeds and one fails
    await work.run()
    await error_of(mf, fail)
    # Then it hears so; and a duplicate of the first is skipped
    assert answers == [("work", Disposal.DONE), ("fail", Disposal.FAILED)]


async def test_a_job_of_a_run_that_is_not_there_is_skipped(mf: Mageflow) -> None:
    from mageflow_core.machine import Job

    @mf.task
    async def work() -> None: ...

    site: Any = mf._site
    job = Job("nowhere", 1, 1, "work", "", None, None)
    handled = await site.runner.run(Delivery(job=job))
    assert handled.disposal is Disposal.SKIPPED


async def test_a_job_of_a_task_that_nobody_knows_is_released(mf: Mageflow) -> None:
    from mageflow_core.machine import Job

    site: Any = mf._site
    handled = await site.runner.run(Delivery(job=Job("x", 1, 1, "unheard", "", None, None)))
    assert handled.disposal is Disposal.RELEASE


async def test_the_context_says_what_runs(mf: Mageflow, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Context] = []

    @mf.task
    async def look(ctx: Context) -> bool:
        seen.append(ctx)
        ctx.logger.warning("hello")
        return await ctx.alive()

    with caplog.at_level(logging.WARNING, "mageflow.task"):
        run = await mf.start(chain(look), labels={"order": "7"})
        assert await run.result(timeout=10) is True
    (ctx,) = seen
    assert (ctx.key, ctx.run_id, ctx.task, ctx.attempt) == (f"{run.key}/0", run.key, "look", 1)
    assert ctx.labels == {"order": "7"}
    assert ctx.native is None
    assert not ctx.cancelled()
    assert not await ctx.alive()  # its claim is over
    (record,) = [r for r in caplog.records if r.message == "hello"]
    assert record.__dict__["key"] == f"{run.key}/0"


async def test_a_canceled_body_is_no_longer_alive(mf: Mageflow) -> None:
    alive: list[bool] = []
    began, looked = asyncio.Event(), asyncio.Event()

    @mf.task
    async def look(ctx: Context) -> None:
        alive.append(await ctx.alive())
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            alive.append(await ctx.alive())
            looked.set()

    run = await mf.start(look)
    await began.wait()
    await run.cancel()
    await looked.wait()
    assert alive == [True, False]
