"""What was started and what ran, and messages that say how that differs from what was expected."""

from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from mageflow.testing import TestApp, like
from mageflow_core import Signature, Task, chain, graph, swarm

Tasks = dict[str, Task[..., Any, Any]]


@pytest.fixture
def tasks(mageflow_app: TestApp) -> Tasks:
    async def fetch(url: str, options: dict[str, object] | None = None) -> str:
        return f"<{url}>"

    async def count(page: str, word: str = "") -> int:
        return len(page)

    async def mail(to: str) -> None:
        if to == "nobody":
            raise ValueError("no address")

    return {fn.__name__: mageflow_app.task(fn) for fn in (fetch, count, mail)}


def refusal(check: Callable[..., object], *args: object, **kwargs: object) -> str:
    """The message of an assertion that must fail."""
    with pytest.raises(AssertionError) as info:
        check(*args, **kwargs)
    return str(info.value)


# --- dispatched ------------------------------------------------------------------------------
async def test_a_started_task_was_dispatched(mageflow_app: TestApp, tasks: Tasks) -> None:
    run = await tasks["fetch"].sign(url="/").label(team="web").start({"options": {"a": 1, "b": 2}})

    (found,) = mageflow_app.assert_dispatched(
        tasks["fetch"],
        times=1,
        url="/",
        options={"a": 1},
        message={"options": {"b": int}},
        labels={"team": "web"},
    )

    assert found.run_id == run.id
    assert found.message == {"options": {"a": 1, "b": 2}}
    assert found.by is None


@pytest.mark.parametrize("how", ["task", "name", "like", "signature"])
async def test_a_task_can_be_said_in_several_ways(
    mageflow_app: TestApp, tasks: Tasks, how: str
) -> None:
    await tasks["fetch"].start({"url": "/"})
    await tasks["mail"].start({"to": "me"})

    what = {
        "task": tasks["fetch"],
        "name": "fetch",
        "like": like("fetch"),
        "signature": tasks["fetch"].sign(),
    }[how]

    (found,) = mageflow_app.assert_dispatched(what, times=1)
    assert found.message == {"url": "/"}


async def test_bound_arguments_win_over_the_message_as_in_a_run(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    await tasks["fetch"].sign(url="bound").start({"url": "sent"})

    mageflow_app.assert_dispatched("fetch", url="bound")
    mageflow_app.assert_dispatched("fetch", message={"url": "sent"})
    mageflow_app.assert_not_dispatched("fetch", url="sent")


async def test_a_stored_run_is_dispatched_when_it_is_started(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    run = await tasks["fetch"].sign()
    mageflow_app.assert_not_dispatched("fetch")

    await run.start({"url": "/"})

    mageflow_app.assert_dispatched("fetch", times=1, url="/")


async def test_a_start_key_that_is_there_dispatches_nothing_more(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    for _ in range(2):
        await mageflow_app.start(tasks["fetch"].sign(), {"url": "/"}, key="once")

    mageflow_app.assert_dispatched("fetch", times=1)


async def test_what_a_body_starts_names_that_body(mageflow_app: TestApp, tasks: Tasks) -> None:
    @mageflow_app.task
    async def spawn() -> None:
        await tasks["mail"].start({"to": "me"})

    run = await spawn.start()
    await mageflow_app.settle()

    (found,) = mageflow_app.assert_dispatched("mail", to="me")
    assert found.by == run.key


async def test_a_wrong_argument_is_shown_with_the_nearest_run(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    await tasks["mail"].start({"to": "me"})
    await tasks["fetch"].start({"url": "/a", "options": {"deep": {"x": 1, "y": 2}}})
    await tasks["fetch"].start({"url": "/b", "options": {"deep": {"x": 1}}})

    said = refusal(
        mageflow_app.assert_dispatched, "fetch", url="/a", options={"deep": {"x": 2, "z": ANY}}
    )

    assert said.splitlines() == [
        "expected fetch to have been dispatched at least once; found 0 that match.",
        "Nearest: fetch with message {'url': '/a', 'options': {'deep': {'x': 1, 'y': 2}}}",
        "  args.options.deep.x: expected 2, got 1",
        "  args.options.deep.z: expected <ANY>, but there is none",
        "Dispatched (3):",
        "  1. mail with message {'to': 'me'}",
        "  2. fetch with message {'url': '/a', 'options': {'deep': {'x': 1, 'y': 2}}}",
        "  3. fetch with message {'url': '/b', 'options': {'deep': {'x': 1}}}",
    ]


async def test_wrong_labels_and_messages_are_shown(mageflow_app: TestApp, tasks: Tasks) -> None:
    await tasks["mail"].sign().label(team="web").start({"to": "me"})

    said = refusal(
        mageflow_app.assert_dispatched, "mail", labels={"team": "ops"}, message={"to": "you"}
    )

    assert "  message.to: expected 'you', got 'me'" in said
    assert "  labels.team: expected 'ops', got 'web'" in said
    assert "labels {'team': 'web'}" in said


async def test_the_wrong_number_of_times_is_shown(mageflow_app: TestApp, tasks: Tasks) -> None:
    for _ in range(2):
        await tasks["mail"].start({"to": "me"})

    assert refusal(mageflow_app.assert_dispatched, "mail", times=3).startswith(
        "expected mail to have been dispatched 3 times; found 2 that match."
    )
    assert refusal(mageflow_app.assert_dispatched, "mail", times=1).startswith(
        "expected mail to have been dispatched once; found 2 that match.\nDispatched (2):"
    )
    assert refusal(mageflow_app.assert_not_dispatched, "mail").startswith(
        "expected mail not to have been dispatched; found 2 that match.\nDispatched (2):"
    )


def test_where_nothing_was_dispatched_that_is_said(mageflow_app: TestApp, tasks: Tasks) -> None:
    assert refusal(mageflow_app.assert_dispatched, "mail").splitlines() == [
        "expected mail to have been dispatched at least once; found 0 that match.",
        "Dispatched: nothing",
    ]


async def test_a_task_inside_of_a_run_is_hinted_at(mageflow_app: TestApp, tasks: Tasks) -> None:
    await chain(tasks["fetch"], swarm([tasks["count"].sign().on_error(tasks["mail"])])).start()

    for inside in ("fetch", "count", "mail"):
        said = refusal(mageflow_app.assert_dispatched, inside)
        assert f"{inside} stands inside of a run: assert_chain or assert_ran tells." in said


async def test_long_lists_are_cut(mageflow_app: TestApp, tasks: Tasks) -> None:
    await swarm([tasks["mail"]] * 30).start({"to": "x" * 1_000})
    for _ in range(30):
        await tasks["mail"].start({"to": "me"})

    said = refusal(mageflow_app.assert_dispatched, "fetch")

    assert said.endswith("  … and 11 more")
    assert "mail, … 10 more)" in said
    assert max(map(len, said.splitlines())) < 500


# --- containers ------------------------------------------------------------------------------
async def test_a_chain_has_all_its_steps_in_order(mageflow_app: TestApp, tasks: Tasks) -> None:
    fetch, count, mail = tasks["fetch"], tasks["count"], tasks["mail"]
    await chain(fetch.sign(url="/"), count.sign(word="mage"), name="pipeline").start({"x": 1})

    mageflow_app.assert_chain([fetch, "count"], times=1, message={"x": 1})
    mageflow_app.assert_chain([fetch.sign(url="/"), like(count, word=str)])
    assert "step 0: expected count, got fetch" in refusal(mageflow_app.assert_chain, [count, fetch])
    assert "steps: expected 3, got 2 (fetch, count)" in refusal(
        mageflow_app.assert_chain, [fetch, count, mail]
    )
    assert "step 1.args.word: expected 'other', got 'mage'" in refusal(
        mageflow_app.assert_chain, [fetch, count.sign(word="other")]
    )
    assert refusal(mageflow_app.assert_chain, [mail], message={"x": 2}).startswith(
        "expected chain(mail) to have been dispatched at least once"
    )


async def test_a_chain_is_found_among_other_things(mageflow_app: TestApp, tasks: Tasks) -> None:
    await swarm([tasks["mail"]]).start({"to": "me"})
    await tasks["mail"].start({"to": "me"})

    said = refusal(mageflow_app.assert_chain, [tasks["mail"]])

    assert "Nearest" not in said
    assert "swarm(mail)" in said


async def test_a_swarm_has_its_items_in_order_or_in_any(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    mail = tasks["mail"]
    await swarm([mail.sign(to="a"), mail.sign(to="b"), tasks["fetch"]]).start({"url": "/"})

    mageflow_app.assert_swarm([mail.sign(to="a"), mail, "fetch"])
    mageflow_app.assert_swarm([tasks["fetch"], mail.sign(to="b"), mail], in_any_order=True)
    assert "item 0: expected fetch, got mail" in refusal(
        mageflow_app.assert_swarm, ["fetch", mail, mail]
    )
    assert "item 1: nothing left is like mail; nearest: args.to: expected 'c', got 'b'" in refusal(
        mageflow_app.assert_swarm, ["mail", mail.sign(to="c"), "fetch"], in_any_order=True
    )
    assert "items: expected 1, got 3 (mail, mail, fetch)" in refusal(
        mageflow_app.assert_swarm, [mail], in_any_order=True
    )


async def test_items_in_any_order_are_matched_as_well_as_they_can_be(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    mail = tasks["mail"]
    await swarm([mail.sign(to="a"), mail.sign(to="b")]).start()

    # The first expected item fits both, the second only the one that a greedy choice would take.
    mageflow_app.assert_swarm([mail, mail.sign(to="a")], in_any_order=True)


async def test_a_swarm_is_no_chain(mageflow_app: TestApp, tasks: Tasks) -> None:
    await chain([tasks["mail"]]).start({"to": "me"})

    assert "chain(mail)" in refusal(mageflow_app.assert_swarm, ["mail"])


Flow = Callable[[Tasks], Signature[object]]


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        (lambda t: graph({"a": t["fetch"], "b": t["count"]}, {"b": ["a"]}), None),
        (lambda t: graph({"a": t["fetch"], "b": t["count"]}), "b: expected to depend on []"),
        (lambda t: graph({"a": t["fetch"], "c": t["count"]}), "nodes: expected ['a', 'c']"),
        (
            lambda t: graph({"a": t["fetch"], "b": t["mail"]}, {"b": ["a"]}),
            "b: expected mail, got count",
        ),
    ],
    ids=["same", "edge", "name", "node"],
)
async def test_a_graph_is_compared_node_by_node(
    mageflow_app: TestApp, tasks: Tasks, expected: Flow, difference: str | None
) -> None:
    await graph({"a": tasks["fetch"], "b": tasks["count"]}, {"b": ["a"]}).start({"url": "/"})

    if difference is None:
        mageflow_app.assert_dispatched(expected(tasks), times=1)
    else:
        assert difference in refusal(mageflow_app.assert_dispatched, expected(tasks))


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        (lambda t: chain(t["fetch"]), None),
        (lambda t: chain(t["fetch"], name="p"), None),
        (lambda t: chain(t["fetch"], name="q"), "name: expected 'q', got 'p'"),
        (lambda t: chain(t["fetch"]).options(ttl=5), None),
        (lambda t: chain(t["fetch"]).options(ttl=6), "options.ttl: expected 6, got 5"),
        (lambda t: chain(t["fetch"]).label(a="1"), None),
        (lambda t: chain(t["fetch"]).label(a="2"), "labels.a: expected '2', got '1'"),
        (lambda t: chain(t["fetch"]).on_error(t["mail"]), None),
        (
            lambda t: chain(t["fetch"]).on_error(t["count"]),
            "error callback 0: expected count, got mail",
        ),
        (lambda t: chain(t["fetch"]).on_success(t["mail"]), "success callbacks: expected 1, got 0"),
        (lambda t: chain(t["fetch"], word="w"), None),
        (lambda t: chain(t["fetch"], word="v"), "args.word: expected 'v', got 'w'"),
    ],
)
async def test_what_an_expected_signature_says_must_hold(
    mageflow_app: TestApp, tasks: Tasks, expected: Flow, difference: str | None
) -> None:
    signature = chain(tasks["fetch"], name="p", word="w").options(ttl=5).label(a="1", b="2")
    await signature.on_error(tasks["mail"]).start({"url": "/", "to": "me"})

    if difference is None:
        mageflow_app.assert_dispatched(expected(tasks), times=1)
    else:
        said = refusal(mageflow_app.assert_dispatched, expected(tasks))
        assert difference in said


# --- ran -------------------------------------------------------------------------------------
async def test_what_ran_is_found_wherever_it_stands(mageflow_app: TestApp, tasks: Tasks) -> None:
    await chain(tasks["fetch"], tasks["count"].sign(word="w")).run({"url": "/"}, timeout=5)

    (attempt,) = mageflow_app.assert_ran("count", times=1, page="</>", outcome="done")

    assert attempt.input == {"page": "</>", "word": "w"}
    assert attempt.result == 3
    assert (attempt.attempt, attempt.fence) == (1, 1)
    mageflow_app.assert_not_ran("mail")
    mageflow_app.assert_not_ran("count", page="other")


async def test_wrong_input_of_what_ran_is_shown(mageflow_app: TestApp, tasks: Tasks) -> None:
    await tasks["mail"].start({"to": "nobody"})
    await mageflow_app.settle()

    said = refusal(mageflow_app.assert_ran, tasks["mail"], to="me", outcome="done")

    assert said.splitlines() == [
        "expected mail to have run at least once; found 0 that match.",
        "Nearest: mail(to='nobody') attempt 1: failed with ValueError: no address",
        "  to: expected 'me', got 'nobody'",
        "  outcome: expected 'done', got 'failed'",
        "Ran (1):",
        "  1. mail(to='nobody') attempt 1: failed with ValueError: no address",
    ]


async def test_an_attempt_whose_input_does_not_fit_has_none(
    mageflow_app: TestApp, tasks: Tasks
) -> None:
    await tasks["mail"].start({"from": "me"})
    await mageflow_app.settle()

    (attempt,) = mageflow_app.assert_ran("mail", outcome="failed")

    assert attempt.input is None
    assert attempt.error is not None
    assert attempt.error.cause == "input"
    assert attempt.exception is None


async def test_input_is_kept_as_it_was_when_the_body_was_called(mageflow_app: TestApp) -> None:
    @mageflow_app.task
    async def clear(items: list[int]) -> None:
        items.clear()

    await clear.run({"items": [1, 2]})

    mageflow_app.assert_ran(clear, items=[1, 2])


async def test_a_body_that_runs_is_shown_as_running(mageflow_app: TestApp) -> None:
    seen: list[str] = []

    @mageflow_app.task
    async def look() -> None:
        seen.append(mageflow_app.attempts[-1].outcome)
        seen.append(mageflow_app.report())

    await look.run()

    assert seen == [
        "running",
        "Dispatched (1):\n  1. look with message {}\nRan (1):\n  1. look() attempt 1: running",
    ]
    assert mageflow_app.report().endswith("  1. look() attempt 1: done with None")
