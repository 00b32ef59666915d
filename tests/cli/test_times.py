"""Times as people write and read them."""

import time
from collections.abc import Iterator

import pytest
import typer

from mageflow.cli import filters, times

NOON = 1_767_268_800.0  # 2026-01-01 12:00:00 UTC


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", NOON - 30),
        ("15m", NOON - 900),
        ("2h", NOON - 7_200),
        ("1.5h", NOON - 5_400),
        ("7d", NOON - 604_800),
        ("1w", NOON - 604_800),
        ("1767268800", NOON),
        ("1767268800.25", NOON + 0.25),
        ("2026-01-01T12:00", NOON),
        ("2026-01-01 12:00:30", NOON + 30),
        ("2026-01-01", NOON - 43_200),
        ("2026-01-01T12:00Z", NOON),
        ("2026-01-01T14:00+02:00", NOON),
    ],
)
def test_a_time_is_so_long_ago_or_a_date_or_a_number(text: str, expected: float) -> None:
    assert times.point(text, NOON, "--since") == expected


@pytest.mark.parametrize("text", ["", "soon", "2x", "-2h", "2h ago", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_wrong_use(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_:
        times.point(text, NOON, "--since")
    assert exit_.value.exit_code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"mageflow: --since {text!r} is no time: write 30s, 15m, 2h")
    assert said.count("\n") == 1


def test_a_date_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")  # two hours before it, as POSIX writes it
    time.tzset()
    assert times.point("2026-01-01T14:00", NOON, "--since") == NOON


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOON, "12:00:00"),
        (NOON + 43_199.9, "23:59:59"),
        (NOON + 43_200, "2026-01-02 00:00:00"),
        (NOON - 86_400, "2025-12-31 12:00:00"),
        (1e18, "1e+18"),
    ],
)
def test_a_clock_says_the_date_where_it_is_not_today(at: float, expected: str) -> None:
    assert times.clock(at, NOON) == expected


def test_today_is_that_of_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-12")  # where noon is midnight
    time.tzset()
    assert times.clock(NOON, NOON) == "00:00:00"
    assert times.clock(NOON - 1, NOON) == "2026-01-01 23:59:59"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 ms"),
        (0, "0 ms"),
        (0.0126, "13 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (61.4, "1 min 1 s"),
        (3_599.9, "1 h 0 min"),
        (7_380, "2 h 3 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 1_234, "1,234 d 0 h"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert times.span(seconds) == expected


# --- filters -------------------------------------------------------------------------------------


def test_a_label_is_what_stands_before_and_behind_the_first_equals_sign() -> None:
    assert filters.labels_of(None) == {}
    assert filters.labels_of(["a=1", "b=c=d", "e="]) == {"a": "1", "b": "c=d", "e": ""}
    assert filters.labels_of(["a=1", "a=1"]) == {"a": "1"}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["customer"], "--label 'customer' is no label: write --label customer=acme"),
        (["=acme"], "--label '=acme' is no label"),
        ([""], "--label '' is no label"),
        (["a=1", "a=2"], "--label 'a' is given twice"),
    ],
)
def test_what_is_no_label_is_wrong_use(
    texts: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        filters.labels_of(texts)
    assert exit_.value.exit_code == 2
    assert expected in capsys.readouterr().err


def test_a_period_may_have_one_end_or_both() -> None:
    assert filters.period(None, None, NOON) == (None, None)
    assert filters.period("2h", None, NOON) == (NOON - 7_200, None)
    assert filters.period(None, "1h", NOON) == (None, NOON - 3_600)
    assert filters.period("2h", "1h", NOON) == (NOON - 7_200, NOON - 3_600)


def test_a_period_that_ends_before_it_begins_is_wrong_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        filters.period("1h", "2h", NOON)
    assert exit_.value.exit_code == 2
    assert "nothing lies between --since 1h and --until 2h" in capsys.readouterr().err
