"""What holds for the modules of all distributions."""

import ast
import importlib
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("src"), *ROOT.glob("*/src"), *ROOT.glob("adapters/*/src")]
LENGTHS = {
    path.relative_to(ROOT): length
    for folder in SOURCES
    for path in folder.rglob("*.py")
    if (length := len(path.read_text("utf-8").splitlines()))
}


def packages() -> list[str]:
    """Name the packages that are installed here and hand on names."""
    return [
        ".".join(path.parent.relative_to(folder).parts)
        for folder in [ROOT / "src", ROOT / "mageflow_core" / "src"]
        for path in sorted(folder.rglob("__init__.py"))
        if any(isinstance(node, ast.ImportFrom) for node in ast.parse(path.read_text("utf-8")).body)
    ]


def test_no_module_is_longer_than_500_lines() -> None:
    assert {path: length for path, length in LENGTHS.items() if length > 500} == {}


def test_half_of_the_modules_have_at_most_120_lines() -> None:
    assert median(LENGTHS.values()) <= 120


def test_packages_list_their_public_names_once_and_have_them() -> None:
    names = packages()
    assert {"mageflow", "mageflow_core"} <= set(names)
    for name in names:
        package = importlib.import_module(name)
        listed = package.__all__
        assert len(listed) == len(set(listed)), f"{name} lists a name twice"
        missing = [each for each in listed if not hasattr(package, each)]
        assert not missing, f"{name}.__all__ has names that {name} has not: {missing}"


def test_packages_list_every_public_name_that_they_import() -> None:
    for name in packages():
        package = importlib.import_module(name)
        assert package.__file__ is not None
        tree = ast.parse(Path(package.__file__).read_text("utf-8"))
        handed_on = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            and node.module != "__future__"
            and (node.level or (node.module or "").startswith("mageflow"))
            for alias in node.names
        }
        public = {each for each in handed_on if not each.startswith("_")}
        assert public <= set(package.__all__), (
            f"{name}.__all__ lacks {public - set(package.__all__)}"
        )
