"""`mageflow list`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mageflow import Mageflow, chain, sign, swarm
from mageflow_core import Status

Ran = Callable[..., Any]
Started = Callable[..., str]
Complains = Callable[..., str]


def listed(ran: Ran, *arguments: str) -> list[str]:
    """Ids of one page."""
    found: dict[str, Any] = json.loads(ran(0, "list", "--json", *arguments).stdout)
    return [run["id"] for run in found["runs"]]


def test_runs_are_a_table_newest_first(ran: Ran, started: Started) -> None:
    # Given a task, a flow with a name and labels, and one that waits for a worker
    task = started(lambda: sign("add"))
    flow = started(lambda: chain("add", "add", name="nightly").label(customer="acme", tier="gold"))
    waits = started(lambda: chain("nobody-knows", "add"), settles=False)
    # When they are listed
    result = ran(0, "list")
    # Then each has a line of its own, with what is known of it
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["id", "flow", "status", "created", "took", "progress", "labels"]
    assert [line.split()[0] for line in lines[1:]] == [waits, flow, task]
    assert "0/2" in lines[1]
    assert lines[1].split()[1:3] == ["chain", "active"]
    assert lines[2].split()[1:3] == ["nightly", "done"]
    assert lines[2].rstrip().endswith("2/2       customer=acme tier=gold")
    assert lines[3].split()[1:3] == ["add", "done"]
    assert result.stderr == ""


def test_failures_are_counted(ran: Ran, started: Started) -> None:
    started(lambda: swarm(["add", "fails", "add"]))
    assert "2/3, 1 failed" in ran(0, "list").stdout


def test_a_run_that_was_never_started_took_no_time(ran: Ran, acts: Callable[..., Any]) -> None:
    async def store(mf: Mageflow) -> str:
        return str((await mf.store(sign("add", a=1))).id)

    stored = acts(store)
    (line,) = ran(0, "list").stdout.splitlines()[1:]
    assert line.split()[:3] == [stored, "add", "pending"]
    assert " ms" not in line
    (run,) = json.loads(ran(0, "list", "--json").stdout)["runs"]
    assert (run["started_at"], run["settled_at"]) == (None, None)


def test_as_json_a_run_has_these_keys(ran: Ran, started: Started) -> None:
    flow = started(lambda: chain("add", "fails", name="nightly").label(customer="acme"))
    printed = json.loads(ran(0, "list", "--json").stdout)
    assert set(printed) == {"runs", "next"}
    assert printed["next"] is None
    (run,) = printed["runs"]
    assert set(run) == {
        "id",
        "status",
        "kind",
        "task",
        "name",
        "labels",
        "created_at",
        "started_at",
        "ended_at",
        "settled_at",
        "deadline",
        "start_key",
        "alias_of",
        "counts",
        "error",
    }
    assert (run["id"], run["status"], run["kind"]) == (flow, "failed", "chain")
    assert (run["task"], run["name"], run["labels"]) == (None, "nightly", {"customer": "acme"})
    assert run["counts"] == {"children": 2, "begun": 0, "done": 1, "failed": 1, "canceled": 0}
    assert run["created_at"] <= run["started_at"] <= run["ended_at"] <= run["settled_at"]
    assert run["error"]["task"] == "fails"


def test_ids_alone_can_be_piped(ran: Ran, started: Started) -> None:
    first, second = started(lambda: sign("add")), started(lambda: sign("add"))
    result = ran(0, "list", "--ids")
    assert (result.stdout, result.stderr) == (f"{second}\n{first}\n", "")


# --- what is chosen ------------------------------------------------------------------------------


@pytest.fixture
def three(started: Started) -> dict[str, str]:
    return {
        "done": started(lambda: sign("add").label(customer="acme", tier="gold")),
        "failed": started(lambda: chain("add", "fails", name="nightly").label(customer="acme")),
        "waits": started(lambda: sign("nobody-knows"), settles=False),
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--status", "done"], ["done"]),
        (["--status", "queued"], ["waits"]),
        (["--status", "canceled"], []),
        (["--task", "add"], ["done"]),
        (["--name", "nightly"], ["failed"]),
        (["--label", "customer=acme"], ["failed", "done"]),
        (["--label", "customer=acme", "--label", "tier=gold"], ["done"]),
        (["--label", "customer=other"], []),
        (["--since", "1h"], ["waits", "failed", "done"]),
        (["--until", "1h"], []),
        (["--since", "2030-01-01", "--until", "4000000000"], []),
        (["--status", "failed", "--label", "customer=acme", "--since", "1d"], ["failed"]),
    ],
)
def test_runs_are_chosen_by_what_is_said_of_them(
    arguments: list[str], expected: list[str], ran: Ran, three: dict[str, str]
) -> None:
    assert listed(ran, *arguments) == [three[each] for each in expected]


def test_nothing_found_is_said_on_stderr(ran: Ran, three: dict[str, str]) -> None:
    result = ran(0, "list", "--name", "other")
    assert (result.stdout, result.stderr) == ("", "mageflow: no run is like that\n")
    assert listed(ran, "--name", "other") == []


def test_an_empty_store_is_said_on_stderr(ran: Ran, shared: type[Any]) -> None:
    result = ran(0, "list")
    assert (result.stdout, result.stderr) == ("", "mageflow: there are no runs\n")
    assert ran(0, "list", "--ids").stdout == ""
    assert json.loads(ran(0, "list", "--json").stdout) == {"runs": [], "next": None}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--label", "customer"], "--label 'customer' is no label: write --label customer=acme"),
        (["--since", "soon"], "--since 'soon' is no time: write 30s, 15m, 2h"),
        (["--until", "soon"], "--until 'soon' is no time"),
        (["--since", "1h", "--until", "2h"], "nothing lies between --since 1h and --until 2h"),
        (["--after", "nonsense"], "--after 'nonsense' is no cursor: take the one that"),
        (["--after", "1.2.3-id"], "--after '1.2.3-id' is no cursor"),
        (["--after", "17"], "--after '17' is no cursor"),
        (["--ids", "--json"], "--ids prints ids alone, --json all there is"),
        (["--counts", "--status", "done"], "--counts counts all runs"),
        (["--counts", "--ids"], "--counts counts all runs"),
        (["--counts", "--since", "2h"], "--counts counts all runs"),
    ],
)
def test_what_cannot_be_chosen_by_is_wrong_use(
    arguments: list[str], expected: str, complains: Complains, shared: type[Any]
) -> None:
    assert expected in complains(2, "list", *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--status", "running"], "'running' is not one of 'pending', 'queued'"),
        (["--limit", "0"], "Invalid value for '--limit'"),
        (["--limit", "1001"], "Invalid value for '--limit'"),
        (["--limit", "some"], "Invalid value for '--limit'"),
        (["--after"], "'--after' requires an argument"),
    ],
)
def test_options_say_what_they_take(
    arguments: list[str], expected: str, ran: Ran, shared: type[Any]
) -> None:
    assert expected in ran(2, "list", *arguments).stderr


# --- pages ---------------------------------------------------------------------------------------


def test_all_pages_together_have_each_run_once(ran: Ran, acts: Callable[..., Any]) -> None:
    # Given more runs than a page has
    async def start(mf: Mageflow) -> list[str]:
        return [(await mf.start(sign("add"), {"a": 1})).id for _ in range(5)]

    runs = acts(start)
    # When page is read after page
    found: list[str] = []
    cursor: list[str] = []
    for size in (2, 2, 1):
        page = json.loads(ran(0, "list", "--json", "--limit", "2", *cursor).stdout)
        assert len(page["runs"]) == size
        found += [run["id"] for run in page["runs"]]
        cursor = ["--after", str(page["next"])]
    # Then none is missing, and the last page says that it is the last
    assert found == runs[::-1]
    assert page["next"] is None


def test_people_are_told_how_to_go_on(ran: Ran, acts: Callable[..., Any]) -> None:
    async def start(mf: Mageflow) -> list[str]:
        return [(await mf.start(sign("add"), {"a": 1})).id for _ in range(3)]

    runs = acts(start)
    first = ran(0, "list", "--limit", "2", "--ids")
    assert first.stdout.split() == runs[:0:-1]
    assert first.stderr.startswith("mageflow: there are more: --after ")
    cursor = first.stderr.split()[-1]
    last = ran(0, "list", "--limit", "2", "--ids", "--after", cursor)
    assert (last.stdout.split(), last.stderr) == (runs[:1], "")


def test_a_page_costs_one_call_of_the_store(
    ran: Ran, shared: type[Any], three: dict[str, str]
) -> None:
    shared.calls.clear()
    ran(0, "list")
    assert shared.calls == ["open", "find"]


# --- counts --------------------------------------------------------------------------------------


def test_runs_are_counted_by_status(ran: Ran, three: dict[str, str]) -> None:
    lines = [line.split() for line in ran(0, "list", "--counts").stdout.splitlines()]
    assert lines == [
        ["status", "runs"],
        ["queued", "1"],
        ["done", "1"],
        ["failed", "1"],
        ["all", "3"],
    ]


def test_counts_as_json_have_every_status(ran: Ran, three: dict[str, str]) -> None:
    printed = json.loads(ran(0, "list", "--counts", "--json").stdout)
    assert printed["total"] == 3
    assert list(printed["counts"]) == [status.value for status in Status]
    assert {name: number for name, number in printed["counts"].items() if number} == {
        "queued": 1,
        "done": 1,
        "failed": 1,
    }


# --- where there is no shared store ---------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["list"], ["show", "x"], ["cancel", "x"], ["workers"], ["retry", "-"]]
)
def test_a_store_of_one_process_alone_is_refused(
    command: list[str], complains: Complains, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = complains(2, *command, "--store", "memory://user:secret@here")
    assert said.startswith("what is stored in memory://user:***@here is seen by the process alone")
    assert "set MAGEFLOW_STORE, or --store, to a shared one" in said


def test_a_store_that_is_not_installed_is_wrong_use(complains: Complains) -> None:
    said = complains(2, "list", "--store", "nostore://user:secret@host")
    assert said.startswith("no store 'nostore' is installed")


def test_what_is_no_url_is_wrong_use(complains: Complains) -> None:
    assert "store cannot be 'here'" in complains(2, "list", "--store", "here")


def test_a_store_that_does_not_answer_is_a_failure(complains: Complains, shared: type[Any]) -> None:
    shared.away = 1
    assert complains(1, "list") == "double://user:***@host does not answer: is it there?"
    shared.away = 1
    assert "does not answer" in complains(1, "list", "--counts")


def test_namespaces_do_not_see_each_other(ran: Ran, started: Started) -> None:
    run = started(lambda: sign("add"))
    assert listed(ran, "--namespace", "mageflow") == [run]
    assert listed(ran, "--namespace", "other") == []


def test_a_namespace_that_is_no_name_is_wrong_use(complains: Complains, shared: type[Any]) -> None:
    assert "namespace cannot be 'No Name'" in complains(2, "list", "--namespace", "No Name")


def test_nobody_waits_long_at_a_terminal(
    ran: Ran, shared: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a store that is opened with what the settings say
    patience = []
    from_url = shared.from_url

    def seen(url: str, /, options: Any) -> Any:
        patience.append(options.patience)
        return from_url(url, options)

    monkeypatch.setattr(shared, "from_url", seen)
    # When commands open it, then they wait a few seconds at most
    ran(0, "list")
    monkeypatch.setenv("MAGEFLOW_STORE_PATIENCE", "0.5")
    ran(0, "list")
    assert patience == [5.0, 0.5]
