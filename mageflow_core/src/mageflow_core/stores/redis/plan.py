"""Signatures as fields of a run's hash, and back.

Each signature of a tree has a number. `s<n>` is what the Lua machine needs of it, `b<n>` the rest,
which only workers and readers look at; a graph has `g<n>/<name>` for each of its nodes and `o<n>`,
their names in order. Equal neighbours share a number, so that a swarm of equals costs no more than
one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mageflow_core.serialization import dumps
from mageflow_core.signatures.codec import head_dumps, signature_dumps
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

Range = tuple[int, int, int]  # first position, its number, what each further position adds

FEW_RANGES = 50


@dataclass(slots=True)
class Plan:
    """Names and texts of fields. top: numbers of the signatures that it was made of."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    top: list[Range] = field(default_factory=list)

    @property
    def flat(self) -> Iterator[str]:
        for name, text in self.fields:
            yield name
            yield text

    @property
    def first(self) -> dict[str, str]:
        """The first signature as it is in a run that is made of it, whose first plan is number 0.
        Empty for a graph, which cannot be read without its nodes."""
        return {f"{n[0]}0.{n[1:]}": text for n, text in self.fields[:2] if n in ("s1", "b1")}


def plan_of(signatures: Sequence[Signature[Any]]) -> Plan:
    """The first signature has number 1."""
    return _Planner().plan(signatures)


class _Planner:
    def __init__(self) -> None:
        self._next = 1
        self._waiting: deque[tuple[int, Signature[Any]]] = deque()
        self._plan = Plan()

    def plan(self, signatures: Sequence[Signature[Any]]) -> Plan:
        self._plan.top = self._ranges(signatures)
        while self._waiting:
            self._write(*self._waiting.popleft())
        return self._plan

    def _number(self, signature: Signature[Any]) -> int:
        number = self._next
        self._next += 1
        self._waiting.append((number, signature))
        return number

    def _ranges(self, signatures: Sequence[Signature[Any]]) -> list[Range]:
        groups = list(_equal_neighbours(signatures))
        if len(groups) > FEW_RANGES and len(groups) < len(signatures):
            groups = [(signature, 1) for signature in signatures]
        ranges: list[Range] = []
        position = 0
        for signature, count in groups:
            number = self._number(signature)
            if count == 1 and ranges and ranges[-1][2] == 1:
                position += 1  # it counts on from the one before
                continue
            ranges.append((position, number, 0 if count > 1 else 1))
            position += count
        return ranges

    def _write(self, number: int, signature: Signature[Any]) -> None:
        header = {"kind": signature.kind, **_options(signature)}
        if isinstance(signature, TaskSignature):
            header["task"] = signature.task
            body = signature_dumps(signature)
        else:
            header |= self._container(number, signature)
            body = head_dumps(signature)
        for name, callbacks in (
            ("ok", signature.success_callbacks),
            ("err", signature.error_callbacks),
        ):
            if callbacks:
                header[name] = [self._number(callback) for callback in callbacks]
        self._plan.fields.append((f"s{number}", dumps(header)))
        self._plan.fields.append((f"b{number}", body))

    def _container(self, number: int, signature: Signature[Any]) -> dict[str, Any]:
        said: dict[str, Any] = {"n": len(signature.children)}
        if signature.args:
            said["args"] = 1
        if isinstance(signature, ChainSignature):
            said["of"] = self._ranges(signature.steps)
        elif isinstance(signature, SwarmSignature):
            said |= _swarm(signature)
            said["of"] = self._ranges(signature.items)
        elif isinstance(signature, GraphSignature):
            said |= _given(limit=signature.max_concurrency, on_failure=signature.on_failure)
            self._graph(number, signature)
        return said

    def _graph(self, number: int, graph: GraphSignature[Any]) -> None:
        for position, name in enumerate(graph.order):
            part = {
                "pos": position,
                "sig": self._number(graph.nodes[name]),
                "needs": list(graph.depends_on.get(name, ())),
                "dependents": [graph.order[other] for other in graph.dependents.get(name, ())],
            }
            self._plan.fields.append((f"g{number}/{name}", dumps(part)))
        self._plan.fields.append((f"o{number}", dumps(list(graph.order))))


def _equal_neighbours(
    signatures: Iterable[Signature[Any]],
) -> Iterator[tuple[Signature[Any], int]]:
    last: Signature[Any] | None = None
    count = 0
    for signature in signatures:
        same = signature is last or (
            last is not None and signature == last and signature.stored == last.stored
        )
        if last is not None and not same:
            yield last, count
            count = 0
        if not same:
            last = signature
        count += 1
    if last is not None:
        yield last, count


def _swarm(swarm: SwarmSignature[Any]) -> dict[str, Any]:
    return _given(
        limit=swarm.max_concurrency,
        open=1 if swarm.open else None,
        max_tasks=swarm.max_tasks,
        idle=milliseconds(swarm.idle_timeout),
        stop_after=swarm.stop_after_n_failures,
        interrupt_running=1 if swarm.interrupt_running else None,
    )


def _options(signature: Signature[Any]) -> dict[str, Any]:
    options = signature.opts
    return _given(
        backend=options.backend,
        queue=options.queue,
        priority=options.priority,
        delay=milliseconds(options.delay),
        eta=milliseconds(options.eta.timestamp()) if options.eta is not None else None,
        deadline=milliseconds(options.deadline),
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def milliseconds(seconds: float | None) -> int | None:
    return round(seconds * 1000) if seconds is not None else None


def number_in(ranges: Sequence[Sequence[int]], position: int) -> int:
    """The number of the signature at a position."""
    first, number, step = next(r for r in reversed(ranges) if r[0] <= position)
    return number + (position - first) * step
