"""What the distributions say of themselves."""

import importlib.util
import shutil
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "mageflow_core"
PARTS = sorted(
    path.parent
    for path in [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("adapters/*/pyproject.toml")]
)


def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def tools(group: str) -> Iterator[str]:
    for entry in pyproject(ROOT)["dependency-groups"][group]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from tools(entry["include-group"])


def metadata_of(root: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    metadata: dict[str, Any] = {}
    module.LocalParts(str(root), {"requires": ["typer"]}).update(metadata)
    return metadata


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with one adapter."""
    root = tmp_path / "a checkout"
    (root / "mageflow_core").mkdir(parents=True)
    shutil.copy(CORE / "pyproject.toml", root / "mageflow_core")
    (root / "adapters/taskiq").mkdir(parents=True)
    project = '[project]\nname = "mageflow-taskiq"\nversion = "0.4.0"\n'
    (root / "adapters/taskiq/pyproject.toml").write_text(project, "utf-8")
    (root / "adapters/README.md").touch()
    return root


def test_all_parts_have_one_version() -> None:
    versions = {part.name: pyproject(part)["project"]["version"] for part in [ROOT, *PARTS]}
    assert set(versions.values()) == {pyproject(ROOT)["project"]["version"]}, versions


def test_the_installed_versions_are_those_of_this_checkout() -> None:
    names = {pyproject(part)["project"]["name"] for part in [ROOT, *PARTS]}
    assert {"mageflow", "mageflow-core", "mageflow-conformance"} <= names
    assert {version(name) for name in names} == {pyproject(ROOT)["project"]["version"]}


def test_all_parts_want_the_same_python_and_license() -> None:
    for key in "requires-python", "license":
        assert {pyproject(part)["project"][key] for part in [ROOT, *PARTS]} == {
            pyproject(ROOT)["project"][key]
        }


def test_a_checkout_points_at_its_own_folders(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAGEFLOW_PINNED", raising=False)
    uri = checkout.as_uri()
    assert uri.endswith("/a%20checkout")
    assert metadata_of(checkout) == {
        "dependencies": [f"mageflow-core @ {uri}/mageflow_core", "typer"],
        "optional-dependencies": {"taskiq": [f"mageflow-taskiq @ {uri}/adapters/taskiq"]},
    }


def test_a_pinned_build_wants_releases_of_its_own_version(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGEFLOW_PINNED", "1")
    ours = pyproject(CORE)["project"]["version"]
    assert metadata_of(checkout) == {
        "dependencies": [f"mageflow-core=={ours}", "typer"],
        "optional-dependencies": {"taskiq": ["mageflow-taskiq==0.4.0"]},
    }


def test_an_unpacked_sdist_keeps_what_it_was_built_with(checkout: Path) -> None:
    (checkout / "PKG-INFO").touch()
    assert metadata_of(checkout) == {}


def test_parts_want_the_core_in_their_own_version() -> None:
    for part in PARTS:
        if part != CORE:
            project = pyproject(part)["project"]
            assert f"mageflow-core=={project['version']}" in project["dependencies"], part


def test_each_part_is_a_source_of_the_workspace() -> None:
    sources = pyproject(ROOT)["tool"]["uv"]["sources"]
    assert sources == {pyproject(part)["project"]["name"]: {"workspace": True} for part in PARTS}


def test_the_requirements_for_pip_are_those_of_the_group_dev() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    editable = [f"-e ./{part.relative_to(ROOT)}" for part in PARTS]
    assert sorted(wanted) == sorted([*editable, "-e .", *tools("dev")])
