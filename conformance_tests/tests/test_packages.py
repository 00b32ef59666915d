"""What the distribution imports, and what it hands on."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mageflow_conformance

ENGINES = {"celery", "hatchet_sdk", "redis", "sqlalchemy", "taskiq", "temporalio"}
TRIED = ("mageflow_conformance.servers", "mageflow_conformance.stores", "mageflow_conformance.cli")


def test_it_is_that_of_this_checkout() -> None:
    source = Path(__file__).parents[1] / "src" / "mageflow_conformance" / "__init__.py"
    assert mageflow_conformance.__file__ == str(source)


@pytest.mark.parametrize("module", TRIED)
def test_importing_it_imports_no_engine_no_driver_no_pytest_and_not_the_face(module: str) -> None:
    # Given
    code = f"import {module}, json, sys; print(json.dumps(list(sys.modules)))"
    # When
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd="/")
    # Then
    tops = {name.partition(".")[0] for name in json.loads(ran.stdout)}
    assert not tops & (ENGINES | {"pytest", "mageflow", "typer"})


def packages() -> Iterator[str]:
    for name in TRIED:
        package = importlib.import_module(name)
        if hasattr(package, "__path__"):
            yield name
            for found in pkgutil.iter_modules(package.__path__, f"{name}."):
                if found.ispkg:
                    yield found.name


@pytest.mark.parametrize("name", list(packages()))
def test_a_package_lists_the_names_that_it_hands_on(name: str) -> None:
    package = importlib.import_module(name)
    listed = getattr(package, "__all__", [])
    assert len(listed) == len(set(listed))
    assert [each for each in listed if not hasattr(package, each)] == []
