"""All requirements, in the order in which they are run and shown."""

from __future__ import annotations

from difflib import get_close_matches

from mageflow_conformance.backends.requirement import Requirement, registered
from mageflow_conformance.backends.requirements import (
    canceling,
    crashing,
    data,
    delivering,
    executing,
    failing,
    flowing,
    isolating,
    lasting,
    native,
    operating,
    retrying,
    steering,
    storing,
    submitting,
    timing,
)

SPEC = "0.4"  # the version of the requirements themselves

_GROUPS = (
    (submitting, "Submission"),
    (data, "Data"),
    (executing, "Execution"),
    (flowing, "Flows"),
    (steering, "Suspending and interrupting"),
    (canceling, "Cancelling"),
    (retrying, "Retrying by hand"),
    (timing, "Times"),
    (delivering, "Deliveries that go wrong"),
    (failing, "Workers that fail or leave"),
    (crashing, "Deaths at every point"),
    (storing, "A store in trouble"),
    (native, "Tasks of the engine's own client"),
    (isolating, "Isolation"),
    (lasting, "What a process keeps"),
    (operating, "Operation"),
)


def groups() -> dict[str, list[Requirement]]:
    """Requirements by the titles of their groups."""
    made = registered().values()
    return {
        title: [each for each in made if each.check.__module__ == module.__name__]
        for module, title in _GROUPS
    }


def requirements() -> list[Requirement]:
    return [each for group in groups().values() for each in group]


def requirement_of(requirement_id: str) -> Requirement:
    """Raises `KeyError` with the ids that are most like it."""
    known = {each.id: each for each in requirements()}
    found = known.get(requirement_id.upper())
    if found is None:
        close = get_close_matches(requirement_id.upper(), known, 3, 0) or known
        raise KeyError(f"no requirement has the id {requirement_id!r}; near are {', '.join(close)}")
    return found
