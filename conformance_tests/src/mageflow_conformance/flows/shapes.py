"""Flows of every kind, as plain signatures: no app is needed to make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mageflow_core import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
    chain,
    graph,
    swarm,
)

LIMIT = 2


def call(task: str, **arguments: Any) -> TaskSignature[Any]:
    return TaskSignature(task=task, args=arguments)


def a_chain() -> ChainSignature[Any]:
    steps = (call("step"), call("stumble"), call("work"))
    return chain(*steps).on_success(call("noted")).on_error(call("warned"))


def a_swarm() -> SwarmSignature[Any]:
    items = [call("item", i=i) for i in range(5)]
    items += [call("fail").on_error(call("warned")), call("stumble"), call("work")]
    return swarm(items, max_concurrency=LIMIT).on_success(call("noted"))


def a_graph() -> GraphSignature[Any]:
    nodes = {"a": call("step"), "b": call("stumble"), "c": call("join"), "d": call("work")}
    after = {"c": ["a", "b"], "d": ["c"]}
    return graph(nodes, depends_on=after, max_concurrency=LIMIT).on_success(call("noted"))


def a_nested() -> ChainSignature[Any]:
    """A swarm in a chain, with a chain, a graph and a failure in it; then a continuation."""
    noted, warned = call("noted"), call("warned")
    inner = graph({"a": call("step"), "b": call("work")}, depends_on={"b": ["a"]})
    items = [
        chain(call("step"), call("work")).on_success(noted),
        call("fail").on_error(warned),
        call("item", i=7),
        inner.on_success(noted),
        call("stumble"),
    ]
    many = swarm(items, max_concurrency=LIMIT).on_success(noted)
    whole = chain(call("step"), many, call("total"), call("go_on").on_success(noted), call("step"))
    return whole.on_success(noted).on_error(warned)


def a_failing() -> ChainSignature[Any]:
    """A chain that fails in the middle of its second step, itself a chain."""
    inner = chain(call("step"), call("fail"), call("step")).on_error(call("warned"))
    whole = chain(call("stumble"), inner, call("step"))
    return whole.on_success(call("noted")).on_error(call("warned"))


SHAPES: Mapping[str, Callable[[], Signature[Any]]] = {
    "chain": a_chain,
    "swarm": a_swarm,
    "graph": a_graph,
    "nested": a_nested,
    "failing": a_failing,
}
