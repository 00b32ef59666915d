"""Steps that are asked for at the same time, in one call: each has the answer that it would have
alone, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from comparing import altered
from handles import Handle, Stores
from simulation import swarm, task

from mageflow_conformance.servers import RedisCluster, RedisServer, require_redis
from mageflow_core.errors import StoreBroken, StoreFull
from mageflow_core.stores.protocol import Work
from mageflow_core.stores.redis.call import Call
from mageflow_core.stores.redis.keys import bucket_of
from mageflow_core.stores.redis.scripts import Script, compose
from mageflow_core.stores.redis.several import LONGEST, MOST, Several, grouped, steps_of
from mageflow_core.stores.redis.steps import Steps
from mageflow_core.stores.redis.upkeep import CLAIMED, WAITING

MakeServer = Callable[..., RedisServer]
BROKEN = "if names.run_id == 'r1' then error('broken') end\n"
BROKEN_ITEM = "local _ = ARGV[2] == '/1' and error('broken')\n  "
RUNS = [f"r{number}" for number in range(40)]


def calls(server: RedisServer) -> int:
    said = server.info("commandstats").get("cmdstat_evalsha", "calls=0")
    return int(dict(pair.split("=") for pair in said.split(","))["calls"])


@contextmanager
def fewer_calls(server: RedisServer, than: float) -> Iterator[None]:
    before = calls(server)
    yield
    assert 0 < calls(server) - before < than


async def create_all(handle: Handle, runs: list[str] = RUNS) -> None:
    await asyncio.gather(*(handle.create(task("ok-a"), run=run) for run in runs))


async def begin_all(handle: Handle, keys: list[str] = RUNS) -> list[Work]:
    return await asyncio.gather(*(handle.begin(key) for key in keys))


async def end_all(handle: Handle, works: list[Work]) -> None:
    for why in await asyncio.gather(*(handle.done(work) for work in works)):
        assert why is None


async def states(handle: Handle, runs: list[str] = RUNS) -> set[str]:
    return {(await handle.store.view(run)).root.status.value for run in runs}


# --- the answers ----------------------------------------------------------------------------------
async def test_steps_of_many_runs_share_calls(server: RedisServer, stores: Stores) -> None:
    # Given runs in many buckets
    handle = await stores.open()
    assert len({bucket_of(run) for run in RUNS}) > MOST
    # When
    with fewer_calls(server, 3 * len(RUNS) / 2):
        await create_all(handle)
        works = await begin_all(handle)
        await end_all(handle, works)
    # Then
    assert [work.key for work in works] == RUNS
    assert await states(handle) == {"done"}


async def test_steps_of_one_run_share_calls(server: RedisServer, stores: Stores) -> None:
    # Given
    handle = await stores.open()
    await handle.create(swarm(*[task("ok-a")] * len(RUNS), max_concurrency=len(RUNS)))
    keys = [f"r/{number}" for number in range(len(RUNS))]
    # When
    with fewer_calls(server, len(RUNS)):
        works = await begin_all(handle, keys)
        await end_all(handle, works)
    # Then
    assert await states(handle, ["r"]) == {"done"}


async def test_confirmations_share_calls(server: RedisServer, stores: Stores) -> None:
    # Given
    handle = await stores.open()
    await create_all(handle)
    jobs = handle.ear.take()
    assert len(jobs) == len(RUNS)
    # When
    await handle.store.sent(jobs)
    with fewer_calls(server, len(jobs) / 2):
        await handle.store._confirmations.close()
    # Then all of them wait in a queue
    scores = [(await handle.scores(run, "jobs"))[run] for run in RUNS]
    assert all(WAITING <= score < CLAIMED for score in scores)


async def test_steps_of_one_run_are_written_together(server: RedisServer, stores: Stores) -> None:
    # Given
    handle = await stores.open()
    await handle.create(swarm(*[task("ok-a")] * MOST, max_concurrency=MOST))
    keys = [f"r/{number}" for number in range(MOST)]
    # When
    server.call("CONFIG", "RESETSTAT")
    works = await begin_all(handle, keys)
    await end_all(handle, works)
    # Then
    assert [work.key for work in works] == keys
    assert await states(handle, ["r"]) == {"done"}
    assert "calls=2," in server.info("commandstats")["cmdstat_hset"]


async def test_the_order_among_runs_does_not_matter(server: RedisServer, stores: Stores) -> None:
    # Given steps of two runs by turns
    handle = await stores.open()
    both = ("a", "b")
    for run in both:
        await handle.create(swarm(task("ok-a"), task("ok-a"), max_concurrency=2), run=run)
    keys = [f"{run}/{item}" for item in range(2) for run in both]
    # When
    server.call("CONFIG", "RESETSTAT")
    works = await begin_all(handle, keys)
    # Then each has its own answer, and each run is written once
    assert [work.key for work in works] == keys
    assert "calls=2," in server.info("commandstats")["cmdstat_hset"]
    await end_all(handle, works)
    assert await states(handle, [*both]) == {"done"}


async def test_each_has_its_own_refusal(stores: Stores) -> None:
    # Given one that runs and one that is not there
    handle = await stores.open()
    await create_all(handle, RUNS[:3])
    await handle.begin(RUNS[1])
    # When
    claimed = await asyncio.gather(*(handle.claim(key) for key in RUNS[:4]))
    # Then
    whys = [each.why for each in claimed]
    assert whys == ["", "it is active", "", "no such run"]


# --- what fails -----------------------------------------------------------------------------------
async def test_one_that_fails_has_its_own_error_and_spoils_no_other(stores: Stores) -> None:
    # Given a report that fails for one run
    with altered("report", "local function report()\n", f"local function report()\n{BROKEN}"):
        handle = await stores.open_at()
    await create_all(handle, RUNS[:4])
    works = await begin_all(handle, RUNS[:4])
    # When
    answers = await asyncio.gather(*(handle.done(work) for work in works), return_exceptions=True)
    # Then
    assert answers[0] is answers[2] is answers[3] is None
    assert isinstance(answers[1], StoreBroken)
    assert "report.lua" in str(answers[1])
    assert "broken" in str(answers[1])


async def test_one_that_fails_spoils_no_other_of_its_run(stores: Stores) -> None:
    # Given a claim that fails for one item
    with altered("claim", "  draft.edit(node)\n", f"  draft.edit(node)\n  {BROKEN_ITEM}"):
        handle = await stores.open_at()
    await handle.create(swarm(*[task("ok-a")] * 4, max_concurrency=4))
    keys = [f"r/{number}" for number in range(4)]
    # When
    claimed = await asyncio.gather(*map(handle.claim, keys), return_exceptions=True)
    # Then
    assert isinstance(claimed[1], StoreBroken)
    fine = [each for each in claimed if not isinstance(each, BaseException)]
    assert [each.work.key for each in fine if each.work] == ["r/0", "r/2", "r/3"]
    view = await handle.store.view("r")
    children = await handle.store.children("r", 0, 4)
    assert [child.status.value for child in children] == ["active", "queued", "active", "active"]
    assert view.root.status.value == "active"


async def test_a_full_server_changes_nothing_for_any_of_them(make_server: MakeServer) -> None:
    # Given
    server = make_server()
    made = Stores(server)
    try:
        handle = await made.open()
        await create_all(handle)
        server.call("CONFIG", "SET", "maxmemory", "1")
        # When
        answers = await asyncio.gather(*map(handle.claim, RUNS), return_exceptions=True)
        # Then
        assert {type(answer) for answer in answers} == {StoreFull}
        server.call("CONFIG", "SET", "maxmemory", "0")
        assert [work.key for work in await begin_all(handle)] == RUNS
    finally:
        await made.close()


async def test_a_server_that_forgets_scripts_is_told_again(
    server: RedisServer, stores: Stores
) -> None:
    # Given
    handle = await stores.open()
    await create_all(handle)
    server.call("SCRIPT", "FLUSH")
    # When
    works = await begin_all(handle)
    # Then
    assert [work.key for work in works] == RUNS
    with fewer_calls(server, len(RUNS)):
        await end_all(handle, works)


async def test_where_scripts_cannot_be_loaded_that_others_have_loaded_each_goes_alone(
    make_server: MakeServer,
) -> None:
    # Given somebody who may call scripts, and load none
    server = make_server(users={"caller": ("secret", "~* &* +@all -script|load")})
    for script in Steps():
        if script.name != "several":
            server.call("SCRIPT", "LOAD", script.text)
    made = Stores(server)
    try:
        handle = await made.open(server.url_of("caller"))
        # When
        await create_all(handle)
        await end_all(handle, await begin_all(handle))
        # Then
        assert await states(handle) == {"done"}
    finally:
        await made.close()


# --- what they may change -------------------------------------------------------------------------
async def test_when_they_have_changed_as_much_as_one_may_the_others_go_by_another_call(
    server: RedisServer, stores: Stores
) -> None:
    # Given steps that change about two records each, and calls that may change five
    handle = await stores.open_at(width=5)
    await create_all(handle)
    works = await begin_all(handle)
    # When
    before = calls(server)
    await end_all(handle, works)
    # Then
    assert len(RUNS) / 5 <= calls(server) - before < len(RUNS)
    assert await states(handle) == {"done"}


# --- who goes with whom ---------------------------------------------------------------------------
def call(
    key: str, company: str | None = "", given: Sequence[str] = ("x", "y"), name: str = "claim"
) -> Call:
    script = Script(name, "", "0" * 40)
    return Call("EVALSHA", script.sha, 1, key, *given, key=key, script=script, company=company)


SEVERAL = compose("several", ["part"], instead={"part": ""})


def groups(some: list[Call], script: Script | None = SEVERAL) -> list[list[str]]:
    return [
        [call.key for call in entry.calls] if isinstance(entry, Several) else [entry.key]
        for entry in grouped(some, script)
    ]


def test_those_of_one_company_go_together_up_to_a_number() -> None:
    some = [call(f"k{number}") for number in range(2 * MOST + 1)]
    assert [len(group) for group in groups(some)] == [MOST, MOST, 1]


def test_those_of_another_company_go_apart() -> None:
    some = [call("a", "1"), call("b", "2"), call("c", "1"), call("d", None), call("e", None)]
    assert sorted(groups(some)) == [["a", "c"], ["b"], ["d"], ["e"]]


def test_what_is_long_goes_alone() -> None:
    assert groups([call("a", given=["x" * LONGEST]), call("b"), call("c")]) == [["a"], ["b", "c"]]


def test_without_a_script_for_it_all_go_alone() -> None:
    assert groups([call("a"), call("b")], None) == [["a"], ["b"]]


def test_a_call_says_which_steps_it_has() -> None:
    made = Several([call("a", name="claim"), call("b", name="report", given=())], SEVERAL)
    words = made.packed.decode().split("\r\n")[2::2]
    assert words == [
        *("EVALSHA", SEVERAL.sha, "2", "a", "b"),
        *("claim", "2", "x", "y", "report", "0"),
    ]
    assert made.packed.startswith(b"*%d\r\n" % len(words))
    assert [*steps_of(words)] == ["claim", "report"]


# --- a cluster ------------------------------------------------------------------------------------
async def test_on_a_cluster_those_of_one_bucket_go_together() -> None:
    # Given
    require_redis()
    with RedisCluster(masters=3) as cluster:
        made = Stores(cluster.nodes[0])
        try:
            handle = await made.open()
            one = [run for run in map(str, range(2_000)) if bucket_of(run) == 7][:10]
            # When
            await create_all(handle, [*one, *RUNS])
            await end_all(handle, await begin_all(handle, [*one, *RUNS]))
            # Then
            assert await states(handle, [*one, *RUNS]) == {"done"}
            assert len(one) == 10
            errors = [node.info("errorstats") for node in cluster.nodes]
            assert not any("errorstat_CROSSSLOT" in each for each in errors)
        finally:
            await made.close()
