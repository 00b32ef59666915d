"""Workers that run bodies in another way than they are to be run."""

from __future__ import annotations

import itertools
import traceback
from dataclasses import replace as changed
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.failure import Cause
from mageflow_core.machine import Done, Failed
from mageflow_core.runtime import body as body_module
from mageflow_core.runtime import runner as runner_module
from mageflow_core.runtime.inputs import Inputs
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.running import running
from mageflow_core.signatures.options import Retry
from mutants.breaking import fails, instead, replace


@fails("B-EXEC-01")
def blocks_the_loop_for_what_is_no_coroutine(_mf: Mageflow) -> None:
    @replace(Runner, "_in_thread")
    async def in_thread(
        _before: Any, _self: Any, task: Any, _body: Any, bound: Any, *_: Any
    ) -> Any:
        return task.fn(**bound.kwargs)


@fails("B-EXEC-03", "B-EXEC-04", "B-TIME-06", "B-TIME-07")
def has_no_timeouts(_mf: Mageflow) -> None:
    @replace(Runner, "_call")
    async def call(before: Any, self: Any, *given: Any) -> Any:
        *most, options = given
        return await before(self, *most, changed(options, timeout=None))


@fails("B-EXEC-04", "B-TIME-07")
def forgets_threads_that_are_late(_mf: Mageflow) -> None:
    """The next attempt does not wait for them."""

    @replace(runner_module, "failed")
    def failed(before: Any, *given: Any, held: bool = False, **more: Any) -> Failed:
        del held
        found: Failed = before(*given, **more)
        return found


@fails("B-EXEC-05", "B-EXEC-06", "B-FLOW-12")
def takes_failures_for_success(_mf: Mageflow) -> None:
    @replace(Runner, "_attempt")
    async def attempt(before: Any, self: Any, *given: Any) -> Any:
        outcome, error = await before(self, *given)
        return (Done(value="null"), None) if isinstance(outcome, Failed) else (outcome, error)


@fails("B-EXEC-05")
def forgets_where_errors_were_raised(_mf: Mageflow) -> None:
    instead(traceback, "format_exception", traceback.format_exception_only)


@fails("B-EXEC-07")
def retries_errors_of_every_kind(_mf: Mageflow) -> None:
    @replace(Retry, "applies_to")
    def applies_to(_before: Any, _self: Any, _error: BaseException) -> bool:
        return True


@fails("B-EXEC-08")
def tells_a_body_another_attempt(_mf: Mageflow) -> None:
    @replace(Inputs, "_context")
    def context(before: Any, self: Any, *given: Any) -> Any:
        made = before(self, *given)
        made.attempt += 1
        return made


@fails("B-EXEC-11")
def has_more_threads_than_it_was_told(mf: Mageflow) -> None:
    mf.settings = mf.settings.model_copy(update={"threads": 100})


@fails("B-EXEC-12")
def lets_bodies_end_the_process(_mf: Mageflow) -> None:
    @replace(body_module, "_contained")
    async def contained(_before: Any, coroutine: Any) -> Any:
        return await coroutine


@fails("B-DATA-06")
def retries_input_that_does_not_fit(_mf: Mageflow) -> None:
    _retries(Cause.INPUT)


@fails("B-DATA-07")
def retries_results_that_do_not_fit(_mf: Mageflow) -> None:
    _retries(Cause.RESULT)


def _retries(what: Cause) -> None:
    @replace(runner_module, "failed")
    def failed(
        before: Any, error: BaseException, work: Any, cause: Cause, *given: Any, **more: Any
    ) -> Any:
        if cause is what:
            more["retry"] = Retry(retries=1, delay=0.01, jitter=False)
        return before(error, work, cause, *given, **more)


@fails("B-SUBMIT-12", "B-FLOW-06")
def does_not_know_what_a_body_has_started(_mf: Mageflow) -> None:
    """What a body starts is started anew by each attempt."""
    numbers = itertools.count(1)

    @replace(runner_module, "Running")
    def anew(before: Any, key: str, _generation: int) -> Any:
        return before(key, next(numbers))


@fails("B-SUBMIT-11")
def has_children_inherit(mf: Mageflow) -> None:
    """As engines do that link what a task sends with that task."""
    labels: dict[str, Any] = {}

    @replace(Runner, "_call")
    async def call(before: Any, self: Any, task: Any, work: Any, *given: Any) -> Any:
        labels[work.key] = dict(work.labels)
        return await before(self, task, work, *given)

    start = mf.start

    async def inheriting(signature: Any, *given: Any, **more: Any) -> Any:
        here = running.get()
        if here is not None:
            more["labels"] = {**labels[here.key], **(more.get("labels") or {})}
        return await start(signature, *given, **more)

    mf.start = inheriting  # type: ignore[method-assign]
