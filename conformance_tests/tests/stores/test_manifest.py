"""The requirements as a whole."""

from __future__ import annotations

import asyncio
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.stores import Instead, requirement_of, requirements
from mageflow_conformance.stores import requirements as all_of_them
from mageflow_conformance.stores.manifest import groups
from mageflow_conformance.stores.requirement import Requirement, registered, requirement
from mageflow_core.machine import Policy

FOLDER = Path(import_module("mageflow_conformance.stores.requirements").__file__ or "").parent
IDS = [each.id for each in requirements()]


def test_every_module_of_requirements_is_in_the_manifest() -> None:
    # Given
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    # Then
    found = {group[0].check.__module__.rpartition(".")[2] for group in groups().values() if group}
    assert found == modules
    assert all(groups().values()), "a group is empty"
    assert {each.id for each in all_of_them()} == set(registered())


def test_ids_are_unique_and_numbered_without_gaps_in_each_area() -> None:
    # Given
    areas: dict[str, list[int]] = {}
    for each in requirements():
        areas.setdefault(each.area, []).append(int(each.id.rpartition("-")[2]))
    # Then
    assert len(IDS) == len(set(IDS))
    assert {area: sorted(found) for area, found in areas.items()} == {
        area: list(range(1, len(found) + 1)) for area, found in areas.items()
    }


@pytest.mark.parametrize("each", requirements(), ids=lambda each: each.id)
def test_a_requirement_is_a_sentence_and_tried_by_a_coroutine(each: Requirement) -> None:
    texts = [each.text, *([each.instead.text] if each.instead else [])]
    for text in texts:
        assert re.fullmatch(r"([A-Z\d]|work\(\)).*\.", text), text
        assert "  " not in text
    assert asyncio.iscoroutinefunction(each.check)
    assert each.level == ("extended" if each.claim else "core")


def test_a_requirement_is_found_by_its_id_in_any_case() -> None:
    assert requirement_of("s-claim-02").id == "S-CLAIM-02"
    with pytest.raises(KeyError, match="near are S-CLAIM-0"):
        requirement_of("S-CLAIM-99")


async def nothing(_bench: Any) -> None:
    """It is never run."""


def test_an_id_is_given_once() -> None:
    with pytest.raises(ValueError, match="two requirements have the id S-CLAIM-01"):
        requirement("S-CLAIM-01", "Another one.")(nothing)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"id": "CLAIM-1"}, "no id of a requirement"),
        ({"id": "S-X-01", "claim": "shared"}, "say what holds instead"),
        ({"id": "S-X-01", "instead": Instead(text="That.", check=nothing)}, "say what holds"),
    ],
)
def test_a_requirement_that_is_not_complete_is_refused(how: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Requirement(text="T.", check=nothing, policy=Policy(), lease=1.0, patience=1.0, **how)
