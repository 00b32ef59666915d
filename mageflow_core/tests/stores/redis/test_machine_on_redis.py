"""The tests of the state machine once more, with all that they do compared with Redis."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from comparing import compared

from mageflow_conformance.servers import RedisServer

MODULES = ["asking_again", "attempts", "containers", "continuations", "marks", "nested", "retrying",
           "times", "wide"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _comparing(_shared: RedisServer) -> Iterator[None]:
    with compared(_shared.url):
        yield


for _module in MODULES:
    _tests = importlib.import_module(f"test_{_module}")
    for _name, _test in vars(_tests).items():
        if _name.startswith("test_"):
            globals()[f"{_name}__{_module}"] = _test
