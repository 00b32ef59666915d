"""Finding runs by what they are, page by page, over all buckets."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest
from handles import Handle, Stores
from handles.handle import beside
from hypothesis import given
from hypothesis import strategies as st
from simulation import chain, swarm, task

from mageflow_core.machine import Policy, Status, Verb
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Query
from mageflow_core.stores.redis.finding import _asked, _ceiling, cursor, indexes_of
from mageflow_core.stores.redis.keys import bucket_of

ODD = [
    "",
    " ",
    ":",
    "=",
    "a=b",
    'say "x"',
    "l:x",
    "\\",
    "é",
    "🧙",
    "a\nb",
    "{ns:3}:i",
    "\x00",
    "%s",
]

LABELS: list[dict[str, str]] = [{}, {"x": "1"}, {"x": "2", "y": "1"}]


async def ids(store: Handle, **query: Any) -> list[str]:
    return [run.id for run in (await store.store.find(Query(**query))).runs]


async def all_pages(store: Handle, limit: int, **query: Any) -> list[list[str]]:
    pages, after = [], None
    while True:
        page = await store.store.find(Query(limit=limit, after=after, **query))
        pages.append([run.id for run in page.runs])
        after = page.next
        if after is None:
            return pages


@pytest.fixture
async def store(stores: Stores) -> Handle:
    return await stores.open_at()


# --- what a run is found by ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("signature", "names"),
    [
        (task("a"), ["t:a"]),
        (task("a").named("n"), ["t:a", "n:n"]),
        (swarm(task("a")), []),
        (chain(task("a")).named("n").label(x="1", y="2"), ["n:n", 'l:"x"=1', 'l:"y"=2']),
    ],
)
def test_a_run_has_an_index_for_its_task_its_name_and_each_label(
    signature: Signature[Any], names: list[str]
) -> None:
    assert indexes_of(signature) == names


TEXTS = st.text() | st.sampled_from(ODD)


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_no_two_labels_have_one_index(one: tuple[str, str], other: tuple[str, str]) -> None:
    def made(label: tuple[str, str]) -> list[str]:
        return indexes_of(swarm().label(**{label[0]: label[1]}) if label[0] != "self" else swarm())

    if one != other and "self" not in (one[0], other[0]):
        assert made(one) != made(other)


def test_all_indexes_are_looked_into_that_a_query_names() -> None:
    query = Query(status=Status.DONE, task="a", name="n", labels={"x": "1"})
    assert _asked(query) == ['i:l:"x"=1', "i:n:n", "i:t:a", "i:s:done"]
    assert _asked(Query()) == ["i"]


@given(st.integers(1_500_000_000_000, 4_000_000_000_000))
def test_a_time_that_was_told_finds_what_it_was_told_of(created: int) -> None:
    assert _ceiling(created / 1000) == created
    assert _ceiling(created / 1000 + 0.0004) == created + 1
    assert _ceiling(None) == ""


# --- filters ------------------------------------------------------------------------------------
async def test_every_combination_of_filters_finds_what_matches_all_of_them(
    stores: Stores, store: Handle
) -> None:
    # Given
    made: dict[str, dict[str, Any]] = {}
    for number, (name, task_name, label, over) in enumerate(
        product(
            [None, "n"], ["ok-a", "ok-b"], [{}, {"x": "1"}, {"x": "2", "y": "1"}], [False, True]
        )
    ):
        signature = task(task_name).label(**label)
        run = f"run-{number:02}"
        await store.create(signature.named(name) if name else signature, run=run)
        if over:
            await store.run(run)
        made[run] = {
            "task": task_name,
            "name": name,
            "labels": label,
            "status": Status.DONE if over else Status.QUEUED,
            "at": stores.clock.time,
        }
        stores.advance(1)
    middle = stores.clock.time - 12
    # Then
    queries = product(
        [None, "n"],
        [None, "ok-a"],
        [*LABELS, {"y": "2"}],
        [None, Status.DONE],
        [(None, None), (None, middle), (middle, None)],
    )
    for called, of, labels, status, (since, until) in queries:
        query = Query(name=called, task=of, labels=labels, status=status, since=since, until=until)
        expected = [
            run
            for run, said in made.items()
            if (called is None or said["name"] == called)
            and (of is None or said["task"] == of)
            and labels.items() <= said["labels"].items()
            and (status is None or said["status"] == status)
            and (since is None or said["at"] >= since)
            and (until is None or said["at"] < until)
        ]
        found = [run.id for run in (await store.store.find(query)).runs]
        assert found == expected[::-1], query


async def test_labels_of_any_text_are_told_apart(store: Handle) -> None:
    # Given
    runs = {}
    odd = [*product(ODD[1:7], ODD[:6]), *zip(ODD[1:], ODD, strict=False)]
    for number, label in enumerate(dict.fromkeys(odd)):
        runs[f"run-{number:03}"] = label
    await asyncio.gather(
        *(store.create(task("ok-a").label(**{n: v}), run=run) for run, (n, v) in runs.items())
    )
    # Then
    found = await asyncio.gather(*(ids(store, labels={n: v}) for n, v in runs.values()))
    assert found == [[run] for run in runs]


@pytest.mark.parametrize("name", ODD)
async def test_names_of_any_text_are_found(store: Handle, name: str) -> None:
    await store.create(task("ok-a").named(name))
    await store.create(task("ok-a").named("other"), run="other")
    assert await ids(store, name=name) == ["r"]


async def test_only_labels_of_the_run_count_and_not_those_of_its_parts(store: Handle) -> None:
    await store.create(chain(task("ok-a").label(x="1").named("n")))
    assert await ids(store, labels={"x": "1"}) == []
    assert await ids(store, name="n") == []
    assert await ids(store, task="ok-a") == []


async def test_since_counts_that_time_and_until_does_not(stores: Stores, store: Handle) -> None:
    # Given
    stores.clock.time = 1_700_000_000.123
    for number in range(3):
        stores.advance(0.001)
        await store.create(task("ok-a"), run=f"run-{number}")
    created = (await store.store.view("run-1")).created_at
    # Then
    assert await ids(store, since=created) == ["run-2", "run-1"]
    assert await ids(store, until=created) == ["run-0"]
    assert await ids(store, since=created, until=created + 0.001) == ["run-1"]
    assert await ids(store, since=created + 0.0001) == ["run-2"]
    assert await ids(store, until=created + 0.0001) == ["run-1", "run-0"]
    assert await ids(store, since=created, until=created) == []


# --- what changes -------------------------------------------------------------------------------
async def test_a_run_is_found_by_the_status_that_it_shows(store: Handle) -> None:
    # Given
    await store.create(swarm(task("ok-a")), None)
    shown = [Status.PENDING]

    async def now() -> list[Status]:
        return [status for status in Status if await ids(store, status=status) == ["r"]]

    assert await now() == shown
    # Then
    await store.store.start("r", "1", "s")
    assert await now() == [Status.ACTIVE]
    await store.steer("r", Verb.SUSPEND)
    assert await now() == [Status.SUSPENDED]
    await store.steer("r", Verb.INTERRUPT)
    assert await now() == [Status.INTERRUPTED]
    await store.steer("r", Verb.RESUME)
    work = await store.begin("r/0")
    await store.steer("r", Verb.CANCEL)
    assert await now() == [Status.CANCELING]
    await store.releases(work)
    assert await now() == [Status.CANCELED]
    await store.steer("r", Verb.RETRY)
    assert await now() == [Status.ACTIVE]


async def test_counts_are_of_runs_by_what_they_show(store: Handle) -> None:
    # Given
    for number in range(20):
        await store.create(swarm(task("ok-a")), run=f"run-{number}")
    for number in range(5):
        await store.run(f"run-{number}/0")
    await store.steer("run-9", Verb.SUSPEND)
    # Then
    assert await store.store.counts() == {Status.DONE: 5, Status.ACTIVE: 14, Status.SUSPENDED: 1}


async def test_where_there_is_nothing_nothing_is_counted_or_found(store: Handle) -> None:
    assert await store.store.counts() == {}
    page = await store.store.find(Query())
    assert (page.runs, page.next) == ((), None)


async def test_a_run_that_was_removed_is_found_by_nothing(stores: Stores) -> None:
    # Given
    store = await stores.open_at(policy=Policy(result_ttl=10.0))
    await store.create(task("ok-a").named("n").label(x="1"))
    await store.run()
    assert await ids(store, task="ok-a", name="n", labels={"x": "1"}, status=Status.DONE) == ["r"]
    # When
    stores.advance(10)
    await store.look()
    # Then
    for query in ({}, {"task": "ok-a"}, {"name": "n"}, {"labels": {"x": "1"}}):
        assert await ids(store, **query) == []
    assert await store.store.counts() == {}
    assert await store.keys("*}:i*") == []


async def test_a_run_that_goes_while_a_page_is_read_is_left_out(store: Handle) -> None:
    # Given
    for run in ("a", "b", "c"):
        await store.create(task("ok-a"), run=run)
    await store.ask("DEL", store.store.server.keys.run("b"))
    # Then
    assert sorted(await ids(store)) == ["a", "c"]


# --- pages --------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [1, 2, 7, 30, 31])
async def test_pages_have_every_run_once_also_where_all_are_of_one_moment(
    store: Handle, limit: int
) -> None:
    # Given
    runs = [f"run-{number:02}" for number in range(30)]
    await asyncio.gather(*(store.create(task("ok-a"), run=run) for run in runs))
    assert len({bucket_of(run) for run in runs}) > 10
    # When
    pages = await all_pages(store, limit)
    # Then
    assert [run for page in pages for run in page] == runs[::-1]
    assert {len(page) for page in pages[:-1]} <= {limit}


async def test_a_page_that_ends_with_the_last_run_has_no_next(store: Handle) -> None:
    for run in ("a", "b"):
        await store.create(task("ok-a"), run=run)
    assert (await store.store.find(Query(limit=2))).next is None
    assert (await store.store.find(Query(limit=1))).next is not None


async def test_runs_that_come_while_somebody_pages_change_nothing_for_them(
    stores: Stores, store: Handle
) -> None:
    # Given
    for number in range(12):
        await store.create(task("ok-a"), run=f"old-{number:02}")
        if number % 3 == 0:
            stores.advance(0.001)
    seen: list[str] = []
    after = None
    # When
    for number in range(12):
        page = await store.store.find(Query(limit=1, after=after))
        seen += [run.id for run in page.runs]
        after = page.next
        stores.advance(0.001)
        await store.create(task("ok-a"), run=f"new-{number:02}")
    # Then
    assert after is None
    assert seen == [f"old-{number:02}" for number in reversed(range(12))]


async def test_pages_go_on_below_the_last_one_also_where_that_was_removed(store: Handle) -> None:
    # Given
    for run in ("a", "b", "c"):
        await store.create(task("ok-a"), run=run)
    page = await store.store.find(Query(limit=1))
    assert [run.id for run in page.runs] == ["c"]
    # When
    await store.ask("ZREM", store.bucket_key("c", "i"), "c")
    # Then
    assert await ids(store, after=page.next) == ["b", "a"]


async def test_pages_of_a_filter_pass_over_many_that_do_not_match(store: Handle) -> None:
    # Given: 450 of one bucket and time, of which few match
    runs = [name for n in range(40_000) if bucket_of(name := f"{n:05}") == 7][:450]
    await asyncio.gather(
        *(store.create(task("ok-a").label(odd=str(n % 150)), run=run) for n, run in enumerate(runs))
    )
    for run in runs[3::150]:
        await store.run(run)
    # When
    pages = await all_pages(store, 2, labels={"odd": "3"}, status=Status.DONE)
    # Then
    assert [run for page in pages for run in page] == runs[3::150][::-1]
    assert [len(page) for page in await all_pages(store, 100, task="ok-a")] == [100] * 4 + [50]


async def test_a_call_looks_at_so_many_runs_and_the_next_one_goes_on_there(store: Handle) -> None:
    # Given: a store that looks at three in a call, and ten of one bucket, of which two match
    runs = sorted(beside("r", number) for number in range(10))
    for run in runs:
        odd = run in (runs[0], runs[5])
        await store.create(task("ok-a").label(odd=str(odd), even=str(not odd)), run=run)
    await ids(store)  # now the server knows the script
    await store.forget_counts()
    # When
    found = await ids(store, labels={"odd": "True", "even": "False"})
    # Then
    assert found == [runs[5], runs[0]]
    assert await store.count("evalsha") == 63 + 1  # the smallest index has no more than two
    # When all must be looked at
    await store.forget_counts()
    assert await ids(store, task="ok-a") == runs[::-1]
    # Then
    assert await store.count("evalsha") == 63 + 4


@pytest.mark.parametrize("rare", [{"status": Status.DONE}, {"name": "n"}, {"labels": {"x": "1"}}])
async def test_of_several_filters_the_one_that_matches_least_is_gone_through(
    store: Handle, rare: dict[str, Any]
) -> None:
    # Given: many of one bucket, of which one is rare in all ways but for its task
    runs = [beside("r", number) for number in range(40)]
    for run in runs:
        await store.create(task("ok-a"), run=run)
    await store.create(task("ok-a").named("n").label(x="1"))
    await store.run()
    await store.forget_counts()
    # Then
    assert await ids(store, task="ok-a", **rare) == ["r"]
    assert await store.count("zscore") <= 1


async def test_the_end_of_a_page_limits_what_until_leaves(stores: Stores, store: Handle) -> None:
    # Given
    times = []
    for number in range(6):
        times.append(stores.clock.time)
        await store.create(task("ok-a"), run=f"run-{number}")
        stores.advance(1)
    # Then
    pages = await all_pages(store, 1, since=times[1], until=times[4])
    assert pages == [["run-3"], ["run-2"], ["run-1"]]


def test_a_cursor_names_the_last_run_of_its_page() -> None:
    assert cursor((1_700_000_000_123, "k-1")) == "1700000000123-k-1"


async def test_an_id_may_have_dashes(store: Handle) -> None:
    for run in ("a-1", "a-2", "-"):
        await store.create(task("ok-a"), run=run)
    assert await all_pages(store, 1) == [["a-2"], ["a-1"], ["-"]]


async def test_a_page_asks_every_bucket_at_once(store: Handle) -> None:
    # Given
    await store.create(task("ok-a"))
    await ids(store)
    await store.forget_counts()
    # When
    await ids(store)
    # Then
    assert await store.count("evalsha") == 64
    assert await store.count("hmget") <= 3  # and what is shown of the run
