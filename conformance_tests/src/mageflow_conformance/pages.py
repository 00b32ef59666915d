"""The requirements as people read them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from textwrap import dedent

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
WANTS = {
    "size": "the harness can tell how much is stored",
    "restart": "the harness can stop and start the server",
    "hasten": "the harness can have times pass sooner",
    "time": "the store goes by the clock that it is given",
}


def table() -> str:
    """The page of the documentation, as Markdown."""
    return HEAD + "".join(_section(title, group) for title, group in groups().items())


def _section(title: str, group: list[Requirement]) -> str:
    rows = "".join(f"| `{each.id}` | {each.level} | {_cell(each)} |\n" for each in group)
    return f"\n## {title}\n\n| id | level | |\n| --- | --- | --- |\n{rows}"


def _cell(requirement: Requirement) -> str:
    text = requirement.text
    if requirement.instead is not None:
        text += (
            f" *Instead, where the store is not {requirement.claim}:* {requirement.instead.text}"
        )
    return text.replace("|", r"\|")


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
