"""Any signature there is, with all that one can say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from mageflow_core.signatures.options import Options, Retry
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

__all__ = ["json_values", "mappings", "signatures", "texts"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
seconds = st.integers(0, 10**6) | st.floats(0, 10**6)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(texts, json_values, max_size=3)
etas = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the time zone is the next argument
    max_value=datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9))]),
)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


retries = st.builds(
    Retry,
    retries=st.integers(0, 100),
    delay=seconds,
    factor=st.integers(1, 5) | st.floats(1, 5),
    max_delay=seconds,
    jitter=st.floats(0, 1),
    on=st.lists(st.sampled_from([ValueError, "app.Error"]), max_size=2).map(tuple),
    never=st.lists(st.sampled_from([KeyError, "app.Fatal"]), max_size=2).map(tuple),
)


@st.composite
def optionses(draw: st.DrawFn) -> Options:
    when = draw(st.sampled_from(["delay", "eta", "neither"]))
    return Options(
        retry=draw(maybe(retries)),
        timeout=draw(maybe(seconds)),
        delay=draw(seconds) if when == "delay" else None,
        eta=draw(etas) if when == "eta" else None,
        priority=draw(st.sampled_from([None, "low", "normal", "high"])),
        deadline=draw(maybe(seconds)),
        ttl=draw(maybe(seconds)),
        backend=draw(maybe(texts)),
        queue=draw(maybe(texts)),
        interrupt=draw(st.sampled_from([None, "cooperative", "raise"])),
        native=draw(mappings),
    )


def common(below: st.SearchStrategy[Signature[Any]]) -> dict[str, st.SearchStrategy[Any]]:
    return {
        "args": mappings,
        "opts": optionses(),
        "name": maybe(texts),
        "labels": st.dictionaries(texts, texts, max_size=2),
        "success_callbacks": st.lists(below, max_size=1).map(tuple),
        "error_callbacks": st.lists(below, max_size=1).map(tuple),
        "stored": maybe(texts),
    }


tasks: st.SearchStrategy[Signature[Any]] = st.builds(
    TaskSignature, task=st.sampled_from(["fetch", "count"]), args=mappings, opts=optionses()
)


@st.composite
def swarms(draw: st.DrawFn, below: st.SearchStrategy[Signature[Any]]) -> Signature[Any]:
    is_open = draw(st.booleans())
    stop = draw(maybe(st.integers(1, 5)))
    return SwarmSignature(
        **{name: draw(values) for name, values in common(below).items()},
        items=tuple(draw(st.lists(below, max_size=3))),
        max_concurrency=draw(maybe(st.integers(1, 50))),
        open=is_open,
        max_tasks=draw(maybe(st.integers(3, 9))) if is_open else None,
        idle_timeout=draw(maybe(st.integers(1, 9) | st.floats(0.5, 9))) if is_open else None,
        stop_after_n_failures=stop,
        interrupt_running=draw(st.booleans()) if stop else False,
    )


@st.composite
def graphs(draw: st.DrawFn, below: st.SearchStrategy[Signature[Any]]) -> Signature[Any]:
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    # An edge only from a later name to earlier ones, so that there is no cycle.
    edges = {
        name: tuple(draw(st.lists(st.sampled_from(names[:i]), min_size=1, unique=True)))
        for i, name in enumerate(names)
        if i and draw(st.booleans())
    }
    return GraphSignature(
        **{name: draw(values) for name, values in common(below).items()},
        nodes={name: draw(below) for name in names},
        depends_on=edges,
        max_concurrency=draw(maybe(st.integers(1, 9))),
        on_failure=draw(st.sampled_from(["stop", "continue"])),
    )


def containers(below: st.SearchStrategy[Signature[Any]]) -> st.SearchStrategy[Signature[Any]]:
    steps = st.lists(below, min_size=1, max_size=3).map(tuple)
    chains: st.SearchStrategy[Signature[Any]] = st.builds(
        ChainSignature, steps=steps, **common(below)
    )
    with_callbacks: st.SearchStrategy[Signature[Any]] = st.builds(
        TaskSignature, task=st.just("fetch"), **common(below)
    )
    return chains | swarms(below) | graphs(below) | with_callbacks


signatures = st.recursive(tasks, containers, max_leaves=5)
