"""The running context: plain facts, and questions that are passed on."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mageflow_core.signatures.context import Context


class Runner:
    """What answers a context's questions."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.is_alive = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def alive_sync(self) -> bool:
        return self.is_alive

    async def alive(self) -> bool:
        return self.is_alive


def context_of(runner: Runner, **more: Any) -> Context:
    return Context(
        key="run/3",
        run_id="run",
        task="fetch",
        attempt=2,
        fence=7,
        idempotency_key="run/3#1",
        cancelled=runner.cancelled,
        alive=runner.alive,
        alive_sync=runner.alive_sync,
        logger=logging.getLogger("fetch"),
        **more,
    )


def test_a_context_says_what_runs() -> None:
    native = object()

    context = context_of(Runner(), labels={"k": "v"}, native=native)

    assert (context.key, context.run_id, context.task) == ("run/3", "run", "fetch")
    assert (context.attempt, context.fence) == (2, 7)
    assert context.idempotency_key == "run/3#1"
    assert context.labels == {"k": "v"}
    assert context.logger.name == "fetch"
    assert context.native is native
    assert repr(context) == "<Context of 'fetch': run/3, attempt 2>"


def test_labels_and_the_native_context_may_be_missing() -> None:
    context = context_of(Runner())

    assert context.labels == {}
    assert context.native is None


async def test_questions_are_asked_when_they_are_put() -> None:
    # Given a context of an attempt that goes on
    runner = Runner()
    context = context_of(runner)
    before = (context.cancelled(), await context.alive(), context.alive_sync())

    # When the attempt is over
    runner.is_cancelled, runner.is_alive = True, False

    # Then the answers are other ones
    assert before == (False, True, True)
    assert (context.cancelled(), await context.alive(), context.alive_sync()) == (
        True,
        False,
        False,
    )


def test_a_context_can_stand_in_a_model() -> None:
    class Step(BaseModel):
        context: Context

    context = context_of(Runner())

    assert Step(context=context).context is context
    assert Step(context=context).model_dump(mode="json") == {"context": repr(context)}
    with pytest.raises(ValueError, match="Context is given by MageFlow only"):
        Step.model_validate({"context": {}})
