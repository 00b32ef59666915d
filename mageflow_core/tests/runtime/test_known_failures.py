"""What is known of a failure, at every level."""

from __future__ import annotations

from typing import Any

import pytest

from mageflow_core import (
    Cause,
    ErrorInfo,
    ErrorValue,
    Mageflow,
    Retry,
    chain,
    graph,
    swarm,
)
from mageflow_core.errors import GraphFailed, SwarmFailed, TaskFailed


async def error_of(mf: Mageflow, signature: Any, message: Any = None) -> ErrorInfo:
    run = await mf.start(signature, {} if message is None else message)
    view = await run.wait(timeout=10)
    assert view.error is not None, view
    return view.error


# --- what is known of a failure -----------------------------------------------------------------


async def test_an_error_tells_all_that_there_is_to_know(mf: Mageflow) -> None:
    def deep() -> None:
        raise LookupError("the root of it")

    @mf.task(retry=Retry(retries=1, delay=0))
    async def fail() -> None:
        try:
            deep()
        except LookupError as error:
            raise ValueError("no such order") from error

    run = await mf.start(chain(fail))
    with pytest.raises(TaskFailed) as failed:
        await run.result(timeout=10)
    error = failed.value.error
    assert error is not None
    assert error.type == "ValueError"
    assert error.message == "no such order"
    assert error.caused_by == "LookupError: the root of it"
    assert "in deep" in error.traceback
    assert "The above exception was the direct cause" in error.traceback
    assert error.traceback.rstrip().endswith("ValueError: no such order")
    assert (error.task, error.key, error.attempts) == ("fail", f"{run.key}/0", 2)
    # And the message that people see names what to look at
    assert str(failed.value) == (
        f"task 'fail' ({run.key}/0, attempt 2) failed: ValueError: no such order"
    )


@pytest.mark.parametrize("level", ["task", "chain"])
async def test_error_callbacks_get_the_whole_error_of_what_failed(mf: Mageflow, level: str) -> None:
    # Given a flow that fails deep inside, with an error callback at some level
    seen: list[tuple[ErrorInfo, int, str]] = []

    @mf.task
    async def fail(n: int) -> None:
        raise ValueError("boom")

    @mf.task
    async def note(error: ErrorValue, n: int, where: str) -> None:
        seen.append((error, n, where))

    callback = note.sign(where=level)
    signature = {
        "task": chain(fail.sign().on_error(callback)),
        "chain": chain(chain(fail)).on_error(callback),
    }[level]
    # When it has failed
    run = await mf.start(signature, {"n": 3})
    await run.settled(timeout=10)
    # Then the callback has the error, the failed task's message, and its own arguments
    ((error, n, where),) = seen
    assert (error.type, error.message, error.task) == ("ValueError", "boom", "fail")
    assert error.key == {"task": f"{run.key}/0", "chain": f"{run.key}/0/0"}[level]
    assert error.owner == {"task": f"{run.key}/0", "chain": run.key}[level]
    assert "ValueError: boom" in error.traceback
    assert (n, where) == (3, level)


@pytest.mark.parametrize("level", ["swarm", "graph"])
async def test_error_callbacks_of_swarms_and_graphs_get_the_errors_below(
    mf: Mageflow, level: str
) -> None:
    seen: list[ErrorInfo] = []

    @mf.task
    async def fail(n: int = 0) -> None:
        raise ValueError(f"boom {n}")

    @mf.task
    async def note(error: ErrorValue) -> None:
        seen.append(error)

    items = [fail.sign(n=n) for n in range(12)]
    signature: Any = swarm(items)
    if level == "graph":
        signature = graph({f"n{n}": item for n, item in enumerate(items)}, on_failure="continue")
    run = await mf.start(signature.on_error(note))
    with pytest.raises(SwarmFailed if level == "swarm" else GraphFailed) as failed:
        await run.result(timeout=10)
    await run.settled(timeout=10)
    (error,) = seen
    assert error.cause is (Cause.SWARM if level == "swarm" else Cause.GRAPH)
    assert error.failed == 12
    assert [below.message for below in error.failures] == [f"boom {n}" for n in range(10)]
    first = "0" if level == "swarm" else "n0"
    assert error.failures[0].key == f"{run.key}/{first}"
    assert error.owner == run.key
    assert "12 of 12" in str(failed.value)
    assert "boom 0" in str(failed.value)


async def test_the_error_of_a_failed_error_callback_is_its_own(mf: Mageflow) -> None:
    @mf.task
    async def fail() -> None:
        raise ValueError("first")

    @mf.task
    async def clumsy(error: ErrorValue) -> None:
        raise RuntimeError("second")

    run = await mf.start(fail.sign().on_error(clumsy))
    await run.settled(timeout=10)
    (callback,) = [node async for node in run.children()]
    error = await callback.error()
    assert error is not None
    assert (error.message, error.key) == ("second", f"{run.key}/!error-0")
    owns = await run.error()
    assert owns is not None
    assert owns.message == "first"
