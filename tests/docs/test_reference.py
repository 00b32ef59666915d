"""The reference has every setting, option, error, command and capability, and no others."""

import ast
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

import mageflow
from mageflow import errors
from mageflow.cli import app
from mageflow_core import Options, Retry, Signature, SwarmSignature
from mageflow_core.backends import Capabilities
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.settings import Settings
from mageflow_core.signatures.context import Context

ROOT = Path(__file__).parents[2]
FRAGMENTS = [
    path for path in sorted((ROOT / "changelog.d").glob("*.md")) if path.name != "README.md"
]
HIDDEN = {"asdict", "annotations"}


def page(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text("utf-8")


def rows(name: str, heading: str | None = None) -> dict[str, list[str]]:
    """First cells in code of the page's tables, or of one section, and the cells after them."""
    text = page(name)
    if heading is not None:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for each in re.findall(r"`([^`]+)`", cells[0]) if cells else []:
            found[each] = cells[1:]
    return found


def names_of(cls: Any) -> set[str]:
    return {field.name for field in fields(cls)}


def error_classes() -> set[str]:
    found = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    return {name for name, value in found.items() if issubclass(value, BaseException)}


def test_every_setting_is_there_with_its_default() -> None:
    found = rows("settings")
    assert set(found) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        shown = found[name][0].strip("`")
        default = None if shown == "none" else tomllib.loads(f"value = {shown}")["value"]
        assert default == field.default, name


def test_every_option_is_there() -> None:
    before_retry = page("options").partition("\n## Retry\n")[0]
    assert names_of(Options) == set(re.findall(r"^\| `(\w+)` \|", before_retry, re.MULTILINE))
    assert set(rows("options", "Retry")) == names_of(Retry)


def test_the_defaults_of_retries_are_those_of_the_class() -> None:
    for name, (default, _) in rows("options", "Retry").items():
        if name not in ("retries", "on"):
            shown = ast.literal_eval(default.strip("`"))
            assert shown == getattr(Retry(retries=1), name), name


def test_every_error_is_in_the_table_and_in_the_tree() -> None:
    classes = error_classes()
    text = page("errors")
    table = text.partition("| error | when |")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == classes
    tree = text.partition("```\n")[2].partition("```")[0]
    assert set(re.findall(r"[A-Z]\w+", tree)) == classes - {"Interrupted"} | {"TimeoutError"}


def test_the_tree_of_errors_is_that_of_the_classes() -> None:
    tree = page("errors").partition("```\n")[2].partition("```")[0]
    above: list[str] = []
    for line in tree.splitlines():
        match = re.match(r"([│├└─ ]*)(\w+)", line)
        assert match is not None, line
        depth = len(match.group(1)) // 4
        name = match.group(2)
        del above[depth:]
        bases = [base.__name__ for base in getattr(errors, name).__bases__]
        assert bases[0] == (above[-1] if above else "Exception"), name
        above.append(name)


def test_every_field_of_an_error_and_every_cause_is_there() -> None:
    found = rows("errors", "What is known of a failure")
    assert set(found) == names_of(ErrorInfo)
    assert set(re.findall(r"`([a-z-]+)`", found["cause"][0])) == set(Cause)


def test_every_capability_is_there() -> None:
    assert set(rows("capabilities")) == names_of(Capabilities)


def test_every_command_and_each_of_its_options_is_there() -> None:
    group: Any = typer.main.get_command(app)
    headings = re.findall(r"^## `mageflow (\w+)", page("cli"), re.MULTILINE)
    assert headings == list(group.commands)
    for name, command in group.commands.items():
        section = page("cli").partition(f"## `mageflow {name}")[2].partition("\n## ")[0]
        options = [each for parameter in command.params for each in parameter.opts]
        for option in (each for each in options if each.startswith("--")):
            assert option in section, f"{option} of mageflow {name}"


def test_every_option_of_swarms_is_there() -> None:
    own = names_of(SwarmSignature) - names_of(Signature) - {"items"}
    assert set(rows("signatures", "Swarm")) == own


def test_everything_that_a_context_has_is_there() -> None:
    public = {name for name in dir(Context) if not name.startswith("_") and name not in HIDDEN}
    found = {
        name.removeprefix("await ").removesuffix("()") for name in rows("data-flow", "Context")
    }
    assert found == public


@pytest.mark.parametrize("name", sorted({*mageflow.__all__} - {"__version__"}))
def test_everything_public_is_in_the_documentation(name: str) -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md")]
    assert any(re.search(rf"\b{name}\b", text) for text in texts)


def test_there_are_fragments() -> None:
    assert FRAGMENTS


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_one_plain_sentence(fragment: Path) -> None:
    text = fragment.read_text("utf-8")
    assert text.endswith(".\n")
    assert text.count("\n") == 1
    assert text.count(". ") == 0
