"""Where processes die, and how that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from mageflow_conformance.sweep import Case, Hits

PID = 7
CASE = Case("chain", "stay", "runner.claimed", 2)


def hits(path: Path, *names: str, pid: int = PID) -> Hits:
    with (path / "hits").open("a") as log:
        log.writelines(f"{pid} {name}\n" for name in names)
    return Hits(path / "hits")


def test_a_case_says_what_it_is_and_is_armed_as_the_core_reads_it() -> None:
    assert str(CASE) == "chain, stay: runner.claimed@2"
    assert CASE.armed == "runner.claimed=kill@2"
    from mageflow_core.failpoints import parse

    assert parse(CASE.armed)["runner.claimed"].nth == 2


def test_each_point_that_was_hit_is_a_case_once_and_a_second_time_in_the_middle(
    tmp_path: Path,
) -> None:
    names = ["client.creating", *["runner.claimed"] * 2, *["runner.begun"] * 9]
    hits(tmp_path, "runner.reported", pid=8)
    found = hits(tmp_path, *names)
    assert found.names(PID) == names
    assert [(case.point, case.nth) for case in found.cases(PID, "chain", "stay")] == [
        ("client.creating", 1),
        ("runner.claimed", 1),
        ("runner.claimed", 2),
        ("runner.begun", 1),
        ("runner.begun", 6),
    ]


def test_a_point_that_is_reached_by_time_is_a_case_at_its_second_hit(tmp_path: Path) -> None:
    found = hits(tmp_path, "renewal.renewed", *["reconciler.fired"] * 9)
    cases = [(case.point, case.nth) for case in found.cases(PID, "chain", "stay")]
    assert cases == [
        ("renewal.renewed", 1),
        ("renewal.renewed", 2),
        ("reconciler.fired", 1),
        ("reconciler.fired", 2),
    ]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["runner.claimed", "runner.bound", "runner.claimed"], True),
        (["runner.claimed", "runner.claimed", "renewal.renewing"], False),
        (["runner.claimed"], False),
        (["runner.claimed"] * 3, False),
        ([], False),
    ],
)
def test_a_death_is_shown_by_what_was_hit_last(
    tmp_path: Path, names: list[str], shown: bool
) -> None:
    hits(tmp_path, *["runner.claimed"] * 5, pid=8)
    assert hits(tmp_path, *names).show_death(PID, CASE) is shown


def test_where_nothing_was_hit_there_is_no_log(tmp_path: Path) -> None:
    assert Hits(tmp_path / "none").names(PID) == []
