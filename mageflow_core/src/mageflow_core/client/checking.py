"""Whether a signature can be stored: known tasks, depth, size; and what it is stored as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mageflow_core.client.registry import Registry
from mageflow_core.errors import SignatureTooDeep, SignatureTooLarge, UnknownBackend
from mageflow_core.jsontext import check_size, encode, is_small
from mageflow_core.signatures.options import NO_OPTIONS, Options, refuse
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

MAX_DEPTH = 32


class Checker:
    """closed_world: the tasks of this app are all there are, so an unknown one is an error now.
    backends: of the app, the default one first. moved: those of tasks, in place of their own."""

    def __init__(
        self,
        registry: Registry,
        *,
        max_nodes: int,
        max_value_bytes: int,
        closed_world: bool,
        backends: tuple[str, ...],
        moved: Mapping[str, str],
    ) -> None:
        self._registry = registry
        self._backends = backends
        self._moved = moved
        self._max_nodes = max_nodes
        self._max_value_bytes = max_value_bytes
        self._closed_world = closed_world

    def check(self, signature: Signature[Any], depth: int = 0) -> Signature[Any]:
        """The signature as it is stored, `depth` levels below a root.

        Raises `UnknownTask`, `SignatureTooDeep`, `SignatureTooLarge`, `MessageTooLarge`; nothing is
        stored then.
        """
        self._measure(signature, depth)
        return self._placed(signature)

    def _measure(self, signature: Signature[Any], depth: int) -> None:
        nodes = 0
        known: set[str] = set()
        waiting: list[tuple[Signature[Any], int]] = [(signature, depth + 1)]
        while waiting:
            current, level = waiting.pop()
            nodes += 1
            if level > MAX_DEPTH:
                raise SignatureTooDeep(
                    f"signatures are nested deeper than {MAX_DEPTH} levels: flatten them, or "
                    "return the next one from a task"
                )
            if nodes > self._max_nodes:
                raise SignatureTooLarge(
                    f"a run has at most max_nodes = {self._max_nodes:,} nodes: split it, or add "
                    "items to an open swarm while it runs"
                )
            if isinstance(current, TaskSignature) and current.task not in known:
                if self._closed_world and self._registry.find(current.task) is None:
                    raise self._registry.unknown(current.task)
                known.add(current.task)
            if current.args:
                self._check_arguments(current)
            if current.opts is not NO_OPTIONS:
                self._check_options(current.opts, nested=level > 1)
            waiting += [(child, level + 1) for child in current.children]
            waiting += [(callback, level + 1) for callback in current.callbacks]

    def _check_arguments(self, signature: Signature[Any]) -> None:
        limit = self._max_value_bytes
        for name, value in signature.args.items():
            if is_small(value, limit):
                continue
            text = ""
            # What is no JSON the store refuses, with the path of it.
            with suppress(TypeError, ValueError, RecursionError):
                text = encode(value)
            whose = getattr(signature, "task", signature.kind)
            check_size(text, limit, f"argument {name!r} of {whose!r}")

    def _check_options(self, options: Options, *, nested: bool) -> None:
        if nested:
            refuse(options, ("deadline", "ttl"), "is of a whole run: give it to what is started")
        if options.backend is not None and options.backend not in self._backends:
            opened = ", ".join(sorted(self._backends))
            raise UnknownBackend(
                f"option backend={options.backend!r}: this app has {opened}; name one of these, "
                "or leave it out"
            )

    def _placed(self, signature: Signature[Any]) -> Signature[Any]:
        """With backend, queue and priority of each task written down, so that a change of the
        task's defaults does not move what is stored. The same object if nothing is to be said."""
        return rebuilt(signature, self._task_placed)

    def _task_placed(self, signature: Signature[Any]) -> Signature[Any]:
        name = getattr(signature, "task", "")
        task = self._registry.find(name)
        own, theirs = signature.opts, task.options if task is not None else NO_OPTIONS
        moved = self._moved.get(task.name if task is not None else name)
        if theirs is NO_OPTIONS and moved is None:
            return signature
        backend = own.backend or moved or theirs.backend
        default = self._backends[0]
        stays = (backend or default) == (theirs.backend or default)
        place = Options(
            backend=backend,
            queue=own.queue or (theirs.queue if stays else None),  # a queue is of its backend
            priority=own.priority or theirs.priority,
            delay=own.delay if own.delay is not None or own.eta else theirs.delay,
        )
        if place == NO_OPTIONS:
            return signature
        return replace(signature, opts=place.over(own))


def rebuilt(
    signature: Signature[Any], change: Callable[[Signature[Any]], Signature[Any]]
) -> Signature[Any]:
    """A signature tree with its tasks changed; unchanged parts are the same objects."""
    changes: dict[str, Any] = {}

    def each(many: tuple[Signature[Any], ...]) -> tuple[Signature[Any], ...]:
        after = tuple(rebuilt(one, change) for one in many)
        return many if all(a is b for a, b in zip(after, many, strict=True)) else after

    parts: dict[str, tuple[Signature[Any], ...]] = {
        "success_callbacks": signature.success_callbacks,
        "error_callbacks": signature.error_callbacks,
    }
    if isinstance(signature, ChainSignature):
        parts["steps"] = signature.steps
    elif isinstance(signature, SwarmSignature):
        parts["items"] = signature.items
    for name, before in parts.items():
        if before and (after := each(before)) is not before:
            changes[name] = after
    if isinstance(signature, GraphSignature):
        values = tuple(signature.nodes.values())
        changed_values = each(values)
        if changed_values is not values:
            changes["nodes"] = dict(zip(signature.nodes, changed_values, strict=True))
    elif isinstance(signature, TaskSignature):
        changed = change(signature)
        return replace(changed, **changes) if changes else changed
    return replace(signature, **changes) if changes else signature
