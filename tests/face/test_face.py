"""The module that people import."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import mageflow
import mageflow_core
from mageflow_core import errors as core_errors

LAZY = {"click", "pydantic_settings", "rich", "stevedore", "typer"}


def test_the_version_is_that_of_the_distribution() -> None:
    assert mageflow.__version__ == version("mageflow") == version("mageflow-core")


def test_everything_that_the_core_publishes_is_handed_on() -> None:
    assert set(mageflow_core.__all__) <= set(mageflow.__all__)
    for name in mageflow_core.__all__:
        assert getattr(mageflow, name) is getattr(mageflow_core, name)


def test_the_common_errors_are_at_hand() -> None:
    for name in ("MageflowError", "RunEnded", "TaskFailed", "SwarmFailed", "WaitTimeout"):
        assert getattr(mageflow, name) is getattr(core_errors, name)


def test_all_errors_are_in_one_module_under_both_names() -> None:
    classes = {name for name, value in vars(core_errors).items() if isinstance(value, type)}
    assert len(classes) > 40
    for name in classes:
        assert getattr(mageflow.errors, name) is getattr(core_errors, name)


def test_errors_can_be_imported_from_their_module() -> None:
    from mageflow.errors import NotSerializable

    assert issubclass(NotSerializable, mageflow.MageflowError)


@pytest.mark.parametrize("statement", ["import mageflow", "from mageflow import Mageflow, chain"])
def test_importing_loads_no_library_that_a_client_may_never_need(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not LAZY & set(ran.stdout.split())


def test_importing_makes_no_app() -> None:
    code = "import mageflow\nfrom mageflow_core.client import ambient\nprint(len(ambient._made))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "0\n"
