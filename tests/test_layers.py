"""Imports point downwards only."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "mageflow_core" / "src"
LAYERS = [  # from the top; the modules of one layer may import each other
    {"client"},
    {"runtime"},
    {"backends"},
    {"stores"},
    {"settings"},  # above the machine, whose policy they give
    {"machine"},
    {"signatures"},
    {
        "clock",
        "errors",
        "failpoints",
        "failure",
        "jsontext",
        "loading",
        "names",
        "plain",
        "serialization",
        "urls",
    },
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
TOP = -1


def imported(source: str, package: str) -> Iterator[str]:
    """Yield what a module of ``package`` imports, wherever, but not for type checkers only."""
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -node.level + 1 or None] if node.level else []
            origin = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def upward(module: str, source: str, package: str) -> list[str]:
    """Return what a module of the core imports although it stands above it."""
    own = rank(module)
    found = []
    for name in imported(source, package):
        top = name.partition(".")[0]
        if top.startswith("mageflow") and (top != "mageflow_core" or rank(name) < own):
            found.append(name)
    return found


def rank(name: str) -> int:
    """Return the layer; what is of no layer is the core's own face, above all of them."""
    return RANK.get(name.split(".")[1], TOP) if "." in name else TOP


def private(source: str, package: str) -> list[str]:
    """Return what an adapter's module imports of MageFlow although the core does not publish it."""
    found = []
    for name in imported(source, package):
        top = name.partition(".")[0]
        if top == "mageflow" or (top == "mageflow_core" and not is_public(name)):
            found.append(name)
    return found


def is_public(name: str) -> bool:
    origin, _, attribute = name.rpartition(".")
    if not origin:
        return True  # `import mageflow_core`
    if any(part.startswith("_") for part in name.split(".")):
        return False
    return attribute in getattr(importlib.import_module(origin), "__all__", [])


def modules(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        package = ".".join(parts[:-1])
        yield (package if parts[-1] == "__init__" else ".".join(parts)), package, path


def test_every_module_of_the_core_has_its_layer() -> None:
    tops = {name.split(".")[1] for name, _, _ in modules(CORE) if "." in name}
    assert tops <= set(RANK)


def test_imports_of_the_core_point_downwards_only() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, package, path in modules(CORE)
        for name in upward(module, path.read_text("utf-8"), package)
    ]
    assert wrong == []


def test_adapters_import_only_public_names_of_the_core() -> None:
    wrong = [
        f"{module} imports {name}"
        for folder in (*ROOT.glob("adapters/*/src"), ROOT / "docs" / "examples" / "adapter")
        for module, package, path in modules(folder)
        for name in private(path.read_text("utf-8"), package)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import mageflow_core.client", ["mageflow_core.client"]),
        ("from mageflow_core.runtime.runner import run", ["mageflow_core.runtime.runner.run"]),
        ("from mageflow_core import client", ["mageflow_core.client"]),
        ("from mageflow_core import Mageflow", ["mageflow_core.Mageflow"]),
        ("from ..client import Mageflow", ["mageflow_core.client.Mageflow"]),
        ("from .. import Mageflow", ["mageflow_core.Mageflow"]),
        ("def late():\n    import mageflow_core.client", ["mageflow_core.client"]),
        ("import mageflow", ["mageflow"]),
        ("import mageflow_taskiq", ["mageflow_taskiq"]),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mageflow_core.client",
            [],
        ),
        ("from . import memory\nfrom ..machine import step\nfrom mageflow_core import errors", []),
    ],
)
def test_an_import_that_points_upwards_is_found(source: str, found: list[str]) -> None:
    assert upward("mageflow_core.stores.x", source, "mageflow_core.stores") == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import mageflow", ["mageflow"]),
        ("from mageflow_core._made_up import x", ["mageflow_core._made_up.x"]),
        ("from mageflow_core import not_public", ["mageflow_core.not_public"]),
        ("import mageflow_core\nfrom .broker import x", []),
    ],
)
def test_an_import_of_what_is_not_public_is_found(source: str, found: list[str]) -> None:
    assert private(source, "mageflow_fake") == found
