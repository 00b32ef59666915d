"""Assertions about what was started and what ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain as one_after_the_other
from typing import Any, Final, TypeVar

from mageflow.testing.matching import (
    Like,
    bound,
    ordered_differences,
    signature_differences,
    title,
    unordered_differences,
    value_differences,
)
from mageflow.testing.records import Attempt, Dispatch, Ending, Records
from mageflow.testing.showing import attempt_text, dispatch_text, list_text
from mageflow_core import ChainSignature, Signature, SwarmSignature, Task
from mageflow_core.serialization import merge
from mageflow_core.signatures.signature import as_signature

T = TypeVar("T")
NOTHING: Final = object()
# One line for each difference; the first list is of what makes it another thing altogether.
Compare = Callable[[T], tuple[list[str], list[str]]]


class Asserting:
    """The part of a test app that checks. What is expected is partial throughout: mappings may
    have more keys; `mock.ANY`, a type or a predicate may stand for any value."""

    records: Records

    def assert_dispatched(
        self,
        what: Any,
        /,
        *,
        times: int | None = None,
        message: Any = NOTHING,
        labels: Any = None,
        **args: Any,
    ) -> list[Dispatch]:
        """Runs of this were started: `times` of them, or at least one. Gives them.

        what: a task, its name or `like(task, …)`: the run is of this task alone; a signature:
            the run's is like it. args: what the task is called with, from the message or bound.
        """
        __tracebackhide__ = True
        expected = _signature(what)
        compare = self._comparing(expected, message, labels, args)
        return self._check("dispatched", title(expected), self.records.dispatched, compare, times)

    def assert_not_dispatched(self, what: Any, /, **expected: Any) -> None:
        """No run of this was started; see `assert_dispatched`."""
        __tracebackhide__ = True
        self.assert_dispatched(what, times=0, **expected)

    def assert_chain(
        self,
        steps: Sequence[Any],
        /,
        *,
        times: int | None = None,
        message: Any = NOTHING,
        labels: Any = None,
    ) -> list[Dispatch]:
        """A chain of these steps was started: all of them, in this order."""
        __tracebackhide__ = True
        wanted = [_signature(step) for step in steps]

        def compare(dispatch: Dispatch) -> tuple[list[str], list[str]]:
            there = dispatch.signature
            if not isinstance(there, ChainSignature):
                return [f"expected a chain, got {title(there)}"], []
            found = ordered_differences(wanted, there.steps, "step")
            return [], [*found, *_said(dispatch, message, labels)]

        what = f"chain({', '.join(map(title, wanted))})"
        return self._check("dispatched", what, self.records.dispatched, compare, times)

    def assert_swarm(
        self,
        items: Sequence[Any],
        /,
        *,
        in_any_order: bool = False,
        times: int | None = None,
        message: Any = NOTHING,
        labels: Any = None,
    ) -> list[Dispatch]:
        """A swarm of these items was started: all of them; items added later do not count."""
        __tracebackhide__ = True
        wanted = [_signature(item) for item in items]
        differences = unordered_differences if in_any_order else ordered_differences

        def compare(dispatch: Dispatch) -> tuple[list[str], list[str]]:
            there = dispatch.signature
            if not isinstance(there, SwarmSignature):
                return [f"expected a swarm, got {title(there)}"], []
            found = differences(wanted, there.items, "item")
            return [], [*found, *_said(dispatch, message, labels)]

        what = f"swarm({', '.join(map(title, wanted))})"
        return self._check("dispatched", what, self.records.dispatched, compare, times)

    def assert_ran(
        self,
        task: Task[..., Any, Any] | str,
        /,
        *,
        times: int | None = None,
        outcome: Ending | None = None,
        **args: Any,
    ) -> list[Attempt]:
        """Attempts of this task ran, wherever it stands in a flow: `times` of them, or at least
        one. Gives them. args: what its body was called with."""
        __tracebackhide__ = True
        name = task if isinstance(task, str) else task.name

        def compare(attempt: Attempt) -> tuple[list[str], list[str]]:
            other = [f"expected {name}, got {attempt.task}"] if attempt.task != name else []
            found: Iterable[str] = value_differences(args, attempt.input or {}, "")
            if outcome is not None:
                found = one_after_the_other(
                    found, value_differences(outcome, attempt.outcome, "outcome")
                )
            return other, list(found)

        return self._check("ran", name, self.records.attempts, compare, times)

    def assert_not_ran(self, task: Task[..., Any, Any] | str, /, **expected: Any) -> None:
        """No attempt of this task ran; see `assert_ran`."""
        __tracebackhide__ = True
        self.assert_ran(task, times=0, **expected)

    # --- how ------------------------------------------------------------------------------------
    def _comparing(
        self, expected: Any, message: Any, labels: Any, args: dict[str, Any]
    ) -> Compare[Dispatch]:
        def compare(dispatch: Dispatch) -> tuple[list[str], list[str]]:
            there = dispatch.signature
            if title(expected) != title(there):
                return [f"expected {title(expected)}, got {title(there)}"], []
            found = list(signature_differences(expected, there))
            if args:
                given = dispatch.message if isinstance(dispatch.message, dict) else {}
                found += value_differences(args, merge(given, bound(there)), "args")
            return [], [*found, *_said(dispatch, message, labels)]

        return compare

    def _check(
        self, verb: str, what: str, records: Sequence[T], compare: Compare[T], times: int | None
    ) -> list[T]:
        __tracebackhide__ = True
        compared = [(record, *compare(record)) for record in records]
        matching = [record for record, other, found in compared if not other and not found]
        if len(matching) == times or (times is None and matching):
            return matching
        done = "been dispatched" if verb == "dispatched" else "run"
        wanted = "to have" if times != 0 else "not to have"
        often = {None: " at least once", 0: "", 1: " once"}.get(times, f" {times} times")
        lines = [f"expected {what} {wanted} {done}{often}; found {len(matching)} that match."]
        near = [(record, found) for record, other, found in compared if found and not other]
        if near and len(matching) < (times or 1):
            nearest, found = min(near, key=lambda each: len(each[1]))
            lines += [f"Nearest: {_text(nearest)}", *(f"  {each}" for each in found)]
        lines += self._hint(verb, what) if not near and not matching else []
        lines.append(list_text(verb.capitalize(), [_text(record) for record in records]))
        raise AssertionError("\n".join(lines))

    def _hint(self, verb: str, what: str) -> list[str]:
        if verb == "dispatched" and any(
            what in map(title, _below(dispatch.signature)) for dispatch in self.records.dispatched
        ):
            return [f"{what} stands inside of a run: assert_chain or assert_ran tells."]
        return []


def _signature(what: Any) -> Any:
    if isinstance(what, Like):
        return what
    if isinstance(what, str):
        return Like(what)
    if isinstance(what, Task):
        return Like(what.name)
    return as_signature(what)


def _said(dispatch: Dispatch, message: Any, labels: Any) -> Iterator[str]:
    if message is not NOTHING:
        yield from value_differences(message, dispatch.message, "message")
    if labels is not None:
        yield from value_differences(labels, dispatch.labels, "labels")


def _below(signature: Signature[Any]) -> Iterator[Signature[Any]]:
    for each in (
        *signature.children,
        *signature.success_callbacks,
        *signature.error_callbacks,
    ):
        yield each
        yield from _below(each)


def _text(record: Any) -> str:
    return dispatch_text(record) if isinstance(record, Dispatch) else attempt_text(record)
