"""How a run must end if nobody steers it: an interpreter of signatures, without any machinery."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)
from simulation.bodies import digest, does, next_of


class End(NamedTuple):
    """value: JSON text of the result. carried: what a chain passes on after it."""

    done: bool
    value: str = ""
    carried: str = ""


FAILED = End(done=False)
Dependencies = Mapping[str, str]


def expected(
    signature: Signature[Any],
    message: str,
    previous: str | None = None,
    dependencies: Dependencies | None = None,
) -> End:
    needed = dependencies or {}
    if isinstance(signature, TaskSignature):
        return _task(signature.task, message, previous, needed)
    if isinstance(signature, ChainSignature):
        return _chain(signature, message, previous, needed)
    if isinstance(signature, SwarmSignature):
        return _swarm(signature, message, previous, needed)
    assert isinstance(signature, GraphSignature)
    return _graph(signature, message, previous, needed)


def _task(name: str, message: str, previous: str | None, dependencies: Dependencies) -> End:
    match does(name):
        case "bad":
            return FAILED
        case "pass":
            return End(True, "null", message if previous is None else previous)
        case "again" | "branch" as kind:
            before = message if kind == "branch" else previous
            return expected(next_of(name), message, before, dependencies)
        case _:
            value = digest(name, message, previous, dependencies)
            return End(True, value, value)


def _chain(
    signature: ChainSignature[Any], message: str, previous: str | None, needed: Dependencies
) -> End:
    end = expected(signature.steps[0], message, previous, needed)
    for step in signature.steps[1:]:
        if not end.done:
            return FAILED
        given = message if isinstance(step, TaskSignature) else end.carried
        end = expected(step, given, end.carried)
    return end


def _swarm(
    signature: SwarmSignature[Any], message: str, previous: str | None, needed: Dependencies
) -> End:
    ends = [expected(item, message, previous, needed) for item in signature.items]
    failed = sum(not end.done for end in ends)
    limit = signature.stop_after_n_failures
    if (limit is not None and failed >= limit) or (ends and failed == len(ends)):
        return FAILED
    value = "[" + ",".join(end.value if end.done else "null" for end in ends) + "]"
    return End(True, value, value)


def _graph(
    signature: GraphSignature[Any], message: str, previous: str | None, needed: Dependencies
) -> End:
    ends: dict[str, End] = {}
    waiting = list(signature.nodes)
    while waiting:
        name = waiting.pop(0)
        needs = signature.depends_on.get(name, ())
        if any(n not in ends for n in needs):
            waiting.append(name)
        elif not all(ends[n].done for n in needs):
            ends[name] = FAILED
        elif needs:
            given = {n: ends[n].value for n in needs}
            ends[name] = expected(signature.nodes[name], message, None, given)
        else:
            ends[name] = expected(signature.nodes[name], message, previous, needed)
    if not all(end.done for end in ends.values()):
        return FAILED
    needed_by_some = {n for needs in signature.depends_on.values() for n in needs}
    sinks = [name for name in signature.nodes if name not in needed_by_some]
    value = "{" + ",".join(f"{json.dumps(n)}:{ends[n].value}" for n in sinks) + "}"
    return End(True, value, value)
