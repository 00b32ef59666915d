"""`mageflow show`."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mageflow import Mageflow, chain, graph, sign, swarm
from mageflow.cli import drawing, picture, tree

Ran = Callable[..., Any]
Started = Callable[..., str]
Complains = Callable[..., str]


def shown(ran: Ran, *arguments: str) -> list[str]:
    """Lines, without the marks of the tree."""
    lines = ran(0, "show", *arguments).stdout.splitlines()
    return [line.replace("│", " ").replace("├── ", "").replace("└── ", "") for line in lines]


def as_json(ran: Ran, *arguments: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(ran(0, "show", "--json", *arguments).stdout)
    return printed


# --- for people ----------------------------------------------------------------------------------


def test_a_flow_is_a_tree_with_what_its_tasks_gave(ran: Ran, started: Started) -> None:
    # Given a chain that has run
    run = started(lambda: chain("add", sign("add", b=10), name="nightly").label(customer="acme"))
    # When it is shown
    lines = shown(ran, run)
    # Then the run, its root and each step have a line
    assert lines[0].startswith(f"run {run}, stored ")
    assert ", started " in lines[0]
    assert ", settled " in lines[0]
    assert lines[0].endswith(", customer=acme")
    assert lines[1].startswith("done nightly  chain 2/2, began ")
    assert ", took " in lines[1]
    assert lines[2].startswith("done add /0  began ")
    assert ", on " in lines[2]
    assert lines[2].endswith("  = 2")
    assert lines[3].endswith("  = 12")
    assert len(lines) == 4


def test_a_failure_says_what_failed_and_what_came_of_it(ran: Ran, started: Started) -> None:
    run = started(lambda: chain("add", "fails", "add").on_error("tell"))
    lines = shown(ran, run)
    assert lines[1].startswith("failed chain  1/3, 1 failed, ")
    assert lines[3].startswith("failed fails /1  ")
    assert lines[4].strip() == "ValueError: no such thing, not at all"
    assert lines[5] == "skipped add /2"
    assert lines[6].startswith("done tell /!error-0  ")
    assert lines[6].endswith('  = "told of fails"')


def test_an_error_below_what_is_shown_says_where_it_was(ran: Ran, started: Started) -> None:
    run = started(lambda: chain("add", chain("fails", "add")))
    lines = shown(ran, run, "--depth", "2")
    assert lines[3].startswith("failed chain /1  0/2, 1 failed, ")
    assert (
        lines[4].strip()
        == f"ValueError: no such thing, not at all in 'fails' ({run}/1/0, attempt 1)"
    )
    assert lines[5].strip() == "2 more"


def test_a_long_result_is_cut_unless_all_of_it_is_wanted(ran: Ran, acts: Any) -> None:
    # Given a task that gives more than fits on a line, and one that fails with as much
    async def start(mf: Mageflow) -> str:
        @mf.task
        def long() -> dict[str, str]:
            return {"text": "long " * 100}

        @mf.task
        def wrong() -> None:
            raise ValueError("long " * 100)

        run = await mf.start(swarm([long, wrong]))
        await run.settled(timeout=20)
        return run.id

    run = acts(start)
    # When it is shown, then one line is enough for each
    lines = shown(ran, run)
    (result,) = (line.partition("  = ")[2] for line in lines if " long /0 " in line)
    assert len(result) == drawing.SHORT
    assert result.endswith("…")
    (error,) = (line.strip() for line in lines if "ValueError" in line)
    assert len(error) <= drawing.LINE
    # When all is wanted, then all is there, the traceback too
    full = "".join(ran(0, "show", run, "--results").stdout.split())
    assert "long" * 100 + '"}' in full
    assert "Traceback(mostrecentcalllast)" in full


def test_what_would_do_something_to_the_terminal_is_written_out(ran: Ran, acts: Any) -> None:
    async def start(mf: Mageflow) -> str:
        @mf.task
        def wrong() -> None:
            raise ValueError("\x1b[2J gone")

        run = await mf.start(wrong.sign().named("\x1b[31m red").label(by="\x1b[32m green"))
        await run.settled(timeout=20)
        return str(run.id)

    run = acts(start)
    for arguments in (["show", run], ["show", run, "--results"], ["list"]):
        printed = ran(0, *arguments).stdout
        assert "\x1b" not in printed
        assert "\\x1b[31m red" in printed
        assert "\\x1b[32m green" in printed


def test_a_node_that_no_live_worker_can_run_says_so(ran: Ran, acts: Any) -> None:
    # Given a run whose first task nobody knows, while some worker is alive
    async def start(mf: Mageflow) -> tuple[str, list[str]]:
        run = await mf.start(chain("nobody-knows", "add"))
        store = await mf.opened()
        view = picture.View()
        taken = await picture.take(store, run.id, view)
        lines = [drawing.unknown_line(taken.tree.children[0].node, taken.workers)]
        return run.id, [*sorted(taken.unknown), *lines]

    run, while_alive = acts(start)
    assert while_alive == [f"{run}/0", "no live worker knows task 'nobody-knows'"]
    # When that worker is gone too, then this is what is said
    lines = shown(ran, run)
    assert lines[2].startswith("queued nobody-knows /0  queued ")
    assert lines[3].strip() == "no worker is alive"
    assert lines[4] == "pending add /1"
    assert as_json(ran, run)["tree"]["children"][0]["unknown_task"] is True


def test_wide_containers_show_their_first_children_and_count_the_others(
    ran: Ran, started: Started
) -> None:
    # Given a swarm with more items than are wanted, and a callback
    run = started(
        lambda: swarm([sign("fails" if n in (1, 7, 9) else "add") for n in range(10)]).on_success(
            sign("add", a=1, b=1)
        )
    )
    # When three are shown, then so is what follows them all, and the failed ones are named
    lines = shown(ran, run, "--width", "3")
    assert [line.split()[:3] for line in lines[2:] if "Error" not in line] == [
        ["done", "add", "/0"],
        ["failed", "fails", "/1"],
        ["done", "add", "/2"],
        ["7", "more;", "failed"],
        ["done", "add", "/!success-0"],
    ]
    assert "7 more; failed among them: /7, /9" in lines


def test_as_many_children_as_are_shown_hide_no_callback(ran: Ran, started: Started) -> None:
    run = started(lambda: swarm(["add"] * 3).on_success(sign("add", a=1, b=1)))
    for width in ("2", "3", "4"):
        assert "/!success-0" in ran(0, "show", run, "--width", width).stdout
    assert " more" not in ran(0, "show", run, "--width", "3").stdout


def test_depth_says_how_many_levels_there_are(ran: Ran, started: Started) -> None:
    run = started(lambda: chain("add", chain("add", chain("add", "add"))))
    assert len(shown(ran, run, "--depth", "1")) == 3
    assert len(shown(ran, run, "--depth", "3")) == 1 + 1 + 2 + 2 + 1
    assert len(shown(ran, run)) == 1 + 1 + 2 + 2 + 2


def test_a_node_is_shown_with_what_is_below_it_alone(ran: Ran, started: Started) -> None:
    run = started(lambda: graph({"a": sign("add"), "b": chain("add", "add")}))
    lines = shown(ran, f"{run}/b")
    assert lines[0].startswith(f"run {run}, ")
    assert lines[1].startswith("done chain /b  2/2")
    assert [line.split()[2] for line in lines[2:]] == ["/b/0", "/b/1"]


def test_history_is_a_table_of_what_happened_there(ran: Ran, started: Started) -> None:
    run = started(lambda: chain("add", "fails"))
    lines = shown(ran, run, "--history")
    start = next(n for n, line in enumerate(lines) if line.split()[:2] == ["at", "event"])
    events = [line.split()[1:3] for line in lines[start + 1 :]]
    assert events == [
        ["started", "/"],
        ["begun", "/"],
        ["done", "/0"],
        ["failed", "/1"],
        ["failed", "/"],
    ]
    of_node = as_json(ran, f"{run}/1", "--history")["history"]
    assert [(event["event"], event["key"]) for event in of_node] == [("failed", f"{run}/1")]


def test_what_was_stored_and_became_part_of_another_is_shown_there(ran: Ran, acts: Any) -> None:
    async def start(mf: Mageflow) -> tuple[str, str]:
        stored = await chain("add", "add")
        run = await mf.start(chain("add", stored), {"a": 1})
        await run.settled(timeout=20)
        return stored.id, run.id

    stored, run = acts(start)
    assert shown(ran, stored)[1].startswith("done chain /1  2/2")
    assert as_json(ran, f"{stored}/1")["tree"]["key"] == f"{run}/1/1"


def test_what_is_suspended_or_waits_for_its_time_says_so(ran: Ran, acts: Any) -> None:
    async def start(mf: Mageflow) -> tuple[str, str]:
        later = await mf.start(sign("add", a=1).options(delay=600))
        held = await mf.start(chain("nobody-knows", "add"))
        await held.suspend()
        return later.id, held.id

    later, held = acts(start)
    assert ", due in 10 min 0 s" in shown(ran, later)[1]
    lines = shown(ran, held)
    assert lines[1].startswith("suspended chain  0/2")
    assert lines[2].startswith("suspended nobody-knows /0")


# --- for machines --------------------------------------------------------------------------------


def test_as_json_there_are_these_keys(ran: Ran, started: Started) -> None:
    run = started(lambda: chain("add", sign("add", b=10), name="nightly").label(customer="acme"))
    printed = as_json(ran, run)
    assert set(printed) == {"run", "tree"}
    assert printed["run"]["id"] == run
    assert printed["run"]["message"] == {"a": 1}
    assert set(printed["tree"]) == {
        "key",
        "kind",
        "status",
        "task",
        "name",
        "role",
        "labels",
        "attempt",
        "generation",
        "crashes",
        "counts",
        "queued_at",
        "started_at",
        "ended_at",
        "due_at",
        "worker",
        "error",
        "result",
        "unknown_task",
        "children",
        "more",
    }
    assert printed["tree"]["result"] == 12
    first, second = printed["tree"]["children"]
    assert (first["result"], second["result"]) == (2, 12)
    assert (first["key"], first["task"], first["status"]) == (f"{run}/0", "add", "done")
    assert set(first) == set(printed["tree"])


def test_as_json_results_are_there_in_full(ran: Ran, started: Started) -> None:
    run = started(lambda: swarm([sign("add", b=n) for n in range(30)]))
    printed = as_json(ran, run)
    assert printed["tree"]["result"] == list(range(1, 31))
    assert (len(printed["tree"]["children"]), printed["tree"]["more"]) == (20, 10)


def test_as_json_a_failure_has_its_traceback(ran: Ran, started: Started) -> None:
    printed = as_json(ran, started(lambda: chain("add", "fails")))
    failed = printed["tree"]["children"][1]
    assert (failed["status"], failed["result"]) == ("failed", None)
    assert failed["error"]["type"] == "ValueError"
    assert "Traceback" in failed["error"]["traceback"]
    assert printed["run"]["error"]["key"] == f"{printed['run']['id']}/1"


def test_as_json_history_has_these_keys(ran: Ran, started: Started) -> None:
    run = started(lambda: sign("add"))
    first, last = as_json(ran, run, "--history")["history"]
    assert set(first) == {"at", "event", "key", "worker", "detail"}
    assert (first["event"], first["key"], first["worker"]) == ("started", run, None)
    assert last["event"] == "done"
    assert last["worker"]
    assert first["at"] <= last["at"]


# --- what is not there ---------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_wrong_use(complains: Complains, shared: type[Any]) -> None:
    assert complains(2, "show", "nothing").startswith("no run 'nothing' in the memory store")
    assert complains(2, "show", "").startswith("no run ''")


def test_a_node_that_is_not_there_is_wrong_use(complains: Complains, started: Started) -> None:
    run = started(lambda: chain("add", "add"))
    assert complains(2, "show", f"{run}/7") == f"run '{run}' has no node '{run}/7'"


@pytest.mark.parametrize("option", ["--depth", "--width"])
def test_nothing_is_no_depth_and_no_width(option: str, ran: Ran, shared: type[Any]) -> None:
    assert f"Invalid value for '{option}'" in ran(2, "show", "x", option, "0").stderr


def test_a_store_that_goes_away_is_a_failure(
    complains: Complains, shared: type[Any], started: Started
) -> None:
    run = started(lambda: sign("add"))

    shared.away = 1
    assert "does not answer" in complains(1, "show", run)


# --- reading -------------------------------------------------------------------------------------


def test_a_tree_is_read_a_level_at_a_time(acts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run with more nodes than are asked for at the same time
    async def start(mf: Mageflow) -> tuple[int, int, int]:
        run = await mf.start(swarm([sign("add")] * 100), {"a": 1})
        await run.settled(timeout=20)
        store = await mf.opened()
        now = most = calls = 0
        children = store.children

        async def counted(*arguments: Any) -> Any:
            nonlocal now, most, calls
            calls, now = calls + 1, now + 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await children(*arguments)

        monkeypatch.setattr(store, "children", counted)
        # When all of it is read
        read = await tree.read(store, run.id, depth=8, width=1_000)
        return len(list(tree.walk(read))), calls, most

    nodes, calls, most = acts(start)
    # Then each node is asked for once, and only so many at a time
    assert (nodes, calls, most) == (101, 101, tree.AT_ONCE)


def test_statuses_have_a_colour_each() -> None:
    from mageflow_core import Status

    assert set(drawing.COLORS) == set(Status)


def test_facts_tell_what_is_not_as_usual(acts: Any) -> None:
    async def view(mf: Mageflow) -> Any:
        run = await mf.start(sign("add"), {"a": 1})
        return await run.wait(timeout=20)

    node = acts(view)
    began = node.started_at
    odd = replace(node, attempt=3, generation=2, crashes=1, queued_at=began - 5, worker=None)
    facts = list(drawing.facts(odd, began))
    assert [fact.split()[0] for fact in facts[:3]] == ["queued", "began", "took"]
    assert facts[3:] == ["attempt 3", "generation 2", "lost once"]
    assert list(drawing.facts(replace(odd, crashes=2), began))[-1] == "lost 2 times"
