"""Signatures for tests: short builders, and strategies that grow random trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from hypothesis import strategies as st

from mageflow_core.signatures.options import make_options
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)
from simulation.bodies import BEHAVIOURS, BOOK

Sig = Signature[Any]
Callbacks = Sequence[Sig]


def task(name: str, *, ok: Callbacks = (), err: Callbacks = (), **options: Any) -> Sig:
    """`ok` and `err` are its callbacks, everything else are options."""
    return TaskSignature(
        task=name,
        opts=make_options(**options),
        success_callbacks=tuple(ok),
        error_callbacks=tuple(err),
    )


def chain(*steps: Sig, ok: Callbacks = (), err: Callbacks = (), **options: Any) -> Sig:
    return ChainSignature(
        steps=steps,
        opts=make_options(**options),
        success_callbacks=tuple(ok),
        error_callbacks=tuple(err),
    )


def swarm(
    *items: Sig, ok: Callbacks = (), err: Callbacks = (), delay: float | None = None, **how: Any
) -> Sig:
    return SwarmSignature(
        items=items,
        opts=make_options(delay=delay),
        success_callbacks=tuple(ok),
        error_callbacks=tuple(err),
        **how,
    )


def graph(
    nodes: Mapping[str, Sig],
    depends_on: Mapping[str, tuple[str, ...]] | None = None,
    *,
    ok: Callbacks = (),
    err: Callbacks = (),
    delay: float | None = None,
    **how: Any,
) -> Sig:
    return GraphSignature(
        nodes=dict(nodes),
        depends_on=dict(depends_on or {}),
        opts=make_options(delay=delay),
        success_callbacks=tuple(ok),
        error_callbacks=tuple(err),
        **how,
    )


def shape(signature: Sig) -> str:
    """Short enough to read in the report of a failed example."""
    if isinstance(signature, TaskSignature):
        text = f"task({signature.task!r})"
        if signature.task in BOOK:
            text += f"→{shape(BOOK[signature.task])}"
    elif isinstance(signature, GraphSignature):
        nodes = ", ".join(f"{n!r}: {shape(s)}" for n, s in signature.nodes.items())
        text = f"graph({{{nodes}}}, {dict(signature.depends_on)}"
        text += f", max={signature.max_concurrency}, {signature.on_failure})"
    else:
        text = f"{signature.kind}({', '.join(map(shape, signature.children))}"
        if isinstance(signature, SwarmSignature):
            text += f", max={signature.max_concurrency}, stop={signature.stop_after_n_failures}"
            text += f", interrupt={signature.interrupt_running}, open={signature.open}"
        text += ")"
    for word, callbacks in (
        ("ok", signature.success_callbacks),
        ("err", signature.error_callbacks),
    ):
        text += "".join(f".{word}({shape(c)})" for c in callbacks)
    return text if signature.opts.delay is None else f"{text}+{signature.opts.delay:g}s"


# --- strategies -------------------------------------------------------------------------------
_numbers = count()


@st.composite
def tasks(draw: st.DrawFn, behaviours: Sequence[str] = BEHAVIOURS) -> Sig:
    """A task whose name says what its body does, and which no other task has."""
    does = draw(st.sampled_from(behaviours))
    delay = draw(st.sampled_from([None, None, None, 7.0]))
    return task(f"{does}-{next(_numbers)}", delay=delay)


@st.composite
def flows(
    draw: st.DrawFn,
    depth: int = 3,
    behaviours: Sequence[str] = BEHAVIOURS,
    *,
    callbacks: bool = True,
    opens: bool = False,
) -> Sig:
    """A random tree: all kinds inside one another, callbacks with callbacks, continuations.

    opens: swarms may be open (and then need somebody to close them).
    """
    inner = flows(depth - 1, behaviours, callbacks=callbacks, opens=opens)
    kind = draw(st.sampled_from(("task", "chain", "swarm", "graph"))) if depth else "task"
    made: Sig
    if kind == "task":
        made = draw(tasks(behaviours))
        if made.task.startswith(("again", "branch")) and depth:  # type: ignore[attr-defined]
            BOOK[made.task] = draw(inner)  # type: ignore[attr-defined]
    elif kind == "chain":
        made = chain(*draw(st.lists(inner, min_size=1, max_size=4)))
    elif kind == "swarm":
        made = draw(swarms(inner, opens=opens))
    else:
        made = draw(graphs(inner))
    if callbacks and depth and draw(st.integers(0, 3)) == 0:
        again = flows(depth - 1, behaviours, callbacks=callbacks)
        ok = draw(st.lists(again, max_size=2))
        err = draw(st.lists(again, max_size=2))
        made = replace(made, success_callbacks=tuple(ok), error_callbacks=tuple(err))
    return made


@st.composite
def swarms(draw: st.DrawFn, inner: st.SearchStrategy[Sig], *, opens: bool) -> Sig:
    items = draw(st.lists(inner, max_size=5))
    stop = draw(st.sampled_from([None, None, 1, 2]))
    is_open = opens and draw(st.booleans())
    more: dict[str, Any] = {}
    if is_open:
        more = {
            "open": True,
            "max_tasks": draw(st.sampled_from([None, len(items) + 2])),
            "idle_timeout": draw(st.sampled_from([None, 20.0])),
        }
    return swarm(
        *items,
        max_concurrency=draw(st.sampled_from([None, 1, 2, 3])),
        stop_after_n_failures=stop,
        interrupt_running=stop is not None and draw(st.booleans()),
        **more,
    )


@st.composite
def graphs(draw: st.DrawFn, inner: st.SearchStrategy[Sig]) -> Sig:
    """Edges go from earlier names to later ones, in an order of nodes that need not be theirs."""
    nodes = draw(st.lists(inner, min_size=1, max_size=5))
    names = [f"n{i}" for i in range(len(nodes))]
    depends_on: dict[str, tuple[str, ...]] = {}
    for i, name in enumerate(names[1:], 1):
        needs = draw(st.sets(st.sampled_from(names[:i]), max_size=3))
        if needs:
            depends_on[name] = tuple(sorted(needs))
    order = draw(st.permutations(names))
    return graph(
        {name: nodes[names.index(name)] for name in order},
        depends_on,
        max_concurrency=draw(st.sampled_from([None, 1, 2])),
        on_failure=draw(st.sampled_from(["stop", "continue"])),
    )
