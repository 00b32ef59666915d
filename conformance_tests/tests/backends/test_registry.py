"""The requirements of backends as a whole."""

from __future__ import annotations

import asyncio
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.backends import Instead, Requirement, requirement_of, requirements
from mageflow_conformance.backends.harness import Harness
from mageflow_conformance.backends.manifest import groups
from mageflow_conformance.backends.requirement import registered, requirement
from mageflow_core.backends import Capabilities
from mageflow_core.settings import Settings

FOLDER = Path(import_module("mageflow_conformance.backends.requirements").__file__ or "").parent
OF_HARNESSES = {"restarts", "redelivery", "natives", "command", "queues", "unreachable", "forks"}
SENTENCE = re.compile(r"[A-Z].*\.")


def test_every_module_of_requirements_is_in_the_manifest() -> None:
    # Given
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    # Then
    found = {each.check.__module__.rpartition(".")[2] for each in requirements()}
    assert found == modules
    assert all(groups().values()), "a group is empty"
    assert {each.id for each in requirements()} == set(registered())


def test_ids_are_unique_and_numbered_without_gaps_in_each_area() -> None:
    # Given
    areas: dict[str, list[int]] = {}
    for each in requirements():
        area, _, number = each.id.rpartition("-")
        areas.setdefault(area, []).append(int(number))
    # Then
    for area, numbers in areas.items():
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), area


def test_the_requirements_of_an_area_stand_in_one_group() -> None:
    found = {title: {each.id.rpartition("-")[0] for each in group} for title, group in all_groups()}
    areas = [area for group in found.values() for area in group]
    assert len(areas) == len(set(areas)), found


def all_groups() -> list[tuple[str, list[Requirement]]]:
    return list(groups().items())


@pytest.mark.parametrize("each", requirements(), ids=lambda each: each.id)
def test_a_requirement_is_a_sentence_and_tried_by_a_coroutine(each: Requirement) -> None:
    for text in (each.text, *([each.instead.text] if each.instead else [])):
        assert SENTENCE.fullmatch(text), text
        assert "  " not in text
    checks = (each.check, *([each.instead.check] if each.instead else []))
    assert all(asyncio.iscoroutinefunction(check) for check in checks)
    assert each.level == ("extended" if each.claim else "core")
    assert 0 < each.within <= 240


@pytest.mark.parametrize("each", requirements(), ids=lambda each: each.id)
def test_what_a_requirement_asks_for_is_there(each: Requirement) -> None:
    assert each.claim in {None, *OF_HARNESSES, *vars_of(Capabilities)}
    assert set(each.settings) <= set(Settings.model_fields)


def vars_of(cls: type) -> set[str]:
    return set(cls.__dataclass_fields__)  # type: ignore[attr-defined]


def test_a_requirement_is_found_by_its_id_in_any_case() -> None:
    assert requirement_of("b-submit-01").id == "B-SUBMIT-01"
    with pytest.raises(KeyError, match="near are B-SUBMIT-0"):
        requirement_of("B-SUBMIT-99")
    with pytest.raises(KeyError, match="no requirement has the id 'nonsense'; near are B-"):
        requirement_of("nonsense")


async def nothing(_stage: Any) -> None:
    """It is never run."""


def test_an_id_is_given_once() -> None:
    with pytest.raises(ValueError, match="two requirements have the id B-SUBMIT-01"):
        requirement("B-SUBMIT-01", "Another one.")(nothing)


INSTEAD = Instead(text="That.", check=nothing)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"id": "SUBMIT-1"}, "no id of a requirement"),
        ({"id": "S-CLAIM-01"}, "no id of a requirement"),
        ({"id": "B-X-01", "claim": "priority"}, "say what holds instead"),
        ({"id": "B-X-01", "instead": INSTEAD}, "say what holds"),
    ],
)
def test_a_requirement_that_is_not_complete_is_refused(how: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Requirement(text="T.", check=nothing, **how)


def test_a_harness_claims_what_the_capabilities_and_its_own_methods_say() -> None:
    class Restarts(Harness):
        name = "restarts"
        backend = "asyncio"
        redelivery = 2.0
        forks = True

        @property
        def restarts(self) -> bool:
            return True

        def command(self, module: str) -> list[str] | None:
            return ["engine", module]

    class Plain(Harness):
        name = "plain"
        backend = "asyncio"

    assert [claim for claim in sorted(OF_HARNESSES) if Restarts().claims(claim)] == [
        "command",
        "forks",
        "redelivery",
        "restarts",
    ]
    assert not any(Plain().claims(claim) for claim in OF_HARNESSES)
    assert Plain().claims("embedded")
    assert not Plain().claims("redelivers")
    with pytest.raises(AttributeError):
        Plain().claims("made-up")
    with pytest.raises(LookupError, match="plain: the harness cannot restart the engine"):
        Plain().restart()
