"""The pytest plugin of `mageflow.testing`.

A module of its own, because pytest imports it at every start: in a package it would bring all of
MageFlow with it, whether a test uses that or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mageflow.testing.app import TestApp

MARKER = (
    "mageflow(app, **settings): the app whose tasks the fixture `mageflow_app` has, as an object "
    "or as 'module:name', and settings for the fixture's own app"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "the app whose tasks the fixture `mageflow_app` has, as 'module:name'"
    parser.addini("mageflow_app", help=text, default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def mageflow_tasks(request: pytest.FixtureRequest) -> Any:
    """The app whose tasks `mageflow_app` has: an object, 'module:name', or None. To be overridden;
    by default what the ini option `mageflow_app` says."""
    return request.config.getini("mageflow_app") or None


@pytest.fixture
def mageflow_app(request: pytest.FixtureRequest, mageflow_tasks: Any) -> Iterator[TestApp]:
    """A fresh app for this test, with a virtual clock and records of what happens.

    It has the tasks of the app that the marker `mageflow(app=…)`, the fixture `mageflow_tasks` or
    the ini option `mageflow_app` names, and works in its place.
    """
    from mageflow.testing.app import embedded  # noqa: PLC0415
    from mageflow.testing.finding import find_app  # noqa: PLC0415

    named: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("mageflow"))):  # the closest one last
        if marker.args:
            raise pytest.UsageError(f"mageflow{marker.args!r}: say mageflow(app=…)")
        named |= marker.kwargs
    tasks = named.pop("app", mageflow_tasks)
    with embedded(find_app(tasks), **named) as app:
        yield app
