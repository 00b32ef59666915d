"""The requirements as people read them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from textwrap import dedent

from mageflow_conformance.backends import manifest as backends
from mageflow_conformance.backends.requirement import Requirement as OfBackends
from mageflow_conformance.stores.manifest import SPEC, groups
from mageflow_conformance.stores.requirement import Requirement

HEAD = f"""\
# What stores are held to

The requirements of the `Store` protocol, version {SPEC} of them. `mageflow-conformance store URL`
tries each of them on a store where it is; [its README](../../conformance_tests/README.md) says how.
This page is made by `mageflow-conformance table`.

An id is never given to another requirement. *Core* ones hold of every store. *Extended* ones hold
of stores that say so of themselves: that they are shared by processes, or outlive their server. Of
others something else holds *instead*, which is tried in their place.
"""
BACKENDS_HEAD = f"""\
# What backends are held to

The requirements of a backend together with the core, version {backends.SPEC} of them.
`mageflow-conformance run BACKEND` tries each of them on a real engine with real worker processes;
[its README](../../conformance_tests/README.md) says how. This page is made by
`mageflow-conformance table backends`.

An id is never given to another requirement. *Core* ones cannot be declined. Where a backend says of
itself that it cannot do what an *extended* one asks for, something else holds *instead*, which is
tried in its place. A pass needs evidence: rows that a worker process has written.
"""
WANTS = {
    "size": "the harness can tell how much is stored",
    "restart": "the harness can stop and start the server",
    "hasten": "the harness can have times pass sooner",
    "time": "the store goes by the clock that it is given",
}


def table() -> str:
    """The page of the documentation, as Markdown."""
    return HEAD + "".join(_section(title, group) for title, group in groups().items())


def _section(title: str, group: Sequence[Requirement | OfBackends]) -> str:
    rows = "".join(f"| `{each.id}` | {each.level} | {_cell(each)} |\n" for each in group)
    return f"\n## {title}\n\n| id | level | |\n| --- | --- | --- |\n{rows}"


def _cell(requirement: Requirement | OfBackends) -> str:
    text = requirement.text
    if requirement.instead is not None:
        lacking = (
            f"where `{requirement.claim}` is not claimed"
            if isinstance(requirement, OfBackends)
            else f"where the store is not {requirement.claim}"
        )
        text += f" *Instead, {lacking}:* {requirement.instead.text}"
    return text.replace("|", r"\|")


def backends_table() -> str:
    """The page of the documentation, as Markdown."""
    return BACKENDS_HEAD + "".join(
        _section(title, group) for title, group in backends.groups().items()
    )


def of_backend(requirement: OfBackends) -> str:
    """All there is to know of one requirement of backends, for a terminal."""
    said = [f"{requirement.id} ({requirement.level})", "", requirement.text]
    if requirement.instead is not None:
        said += ["", f"Applies where {requirement.claim!r} is claimed. Of others holds instead:"]
        said += [requirement.instead.text]
    said += ["", "How it is tried:", "", dedent(inspect.getsource(requirement.check)).rstrip()]
    return "\n".join(said) + "\n"


def explanation(requirement: Requirement) -> str:
    """All there is to know of one requirement, for a terminal."""
    return "\n".join(_lines(requirement)) + "\n"


def _lines(requirement: Requirement) -> Iterator[str]:
    yield f"{requirement.id} ({requirement.level})"
    yield ""
    yield requirement.text
    if requirement.instead is not None:
        yield ""
        yield f"Applies to stores that are {requirement.claim}. Of others holds instead:"
        yield requirement.instead.text
    for ability in sorted(requirement.wants):
        yield ""
        yield f"It is run where {WANTS[ability]}."
    yield ""
    yield "How it is tried:"
    yield ""
    yield dedent(inspect.getsource(requirement.check)).rstrip()
