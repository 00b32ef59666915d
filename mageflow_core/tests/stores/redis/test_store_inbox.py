"""Who waits for what this store has started listens and looks no more than it has to, and is told
nothing that was true before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from handles import Handle, Stores, asked_for
from simulation import chain, graph, swarm, task

from mageflow_conformance.servers import Aio, RedisCluster, RedisServer, require_redis
from mageflow_conformance.waiting import eventually
from mageflow_core.errors import NotOpen, RunNotFound, StoreError
from mageflow_core.machine import Policy, Verb
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Until
from mageflow_core.stores.redis import views
from mageflow_core.stores.redis.records import VERSION, unpacked

T = TypeVar("T")
LISTENING = ("subscribe", "unsubscribe")


@pytest.fixture(autouse=True)
def _polls_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "LOOK_AGAIN", 10_000.0)


async def soon(waiting: Awaitable[T]) -> T:
    return await asyncio.wait_for(waiting, 5)


async def has_inbox(store: Handle) -> Handle:
    """The store, when it has waited once."""
    with suppress(RunNotFound):
        await soon(store.store.wait("nothing", "ended"))
    await eventually(lambda: store.store.inbox.stands)
    return store


async def begin_waiting(store: Handle, key: str = "r", until: Until = "ended") -> asyncio.Task[Any]:
    """For a run that is silent."""
    assert store.store.inbox.silent(key) is not None
    waiting = asyncio.create_task(
        store.store.outcome(key) if until == "ended" else store.store.wait(key, until)
    )
    await eventually(lambda: key in store.store.inbox._waiting)
    return waiting


def hold_back(store: Handle) -> list[str]:
    """Nothing that the inbox is told reaches it from now on, as if it were still on its way."""
    held: list[str] = []
    topic = store.store.channel._topics[store.store.inbox._topic]
    topic.tells = dict.fromkeys(topic.tells, held.append)
    return held


async def let_in(store: Handle, held: list[str]) -> None:
    await eventually(lambda: held)
    for said in held:
        store.store.inbox._told(said)


def inbox_of(fields: dict[str, str]) -> Any:
    return unpacked(fields["run"]).get("inbox")


# --- when there is one --------------------------------------------------------------------------
async def test_who_waits_for_nothing_does_not_listen(server: RedisServer, stores: Stores) -> None:
    # Given
    store = await stores.open()
    # When
    for run in ("a", "b"):
        await store.create(task("ok-a"), run=run)
    await store.create(task("ok-a"), None)
    await store.store.start("r", "null", "s")
    await store.run("a")
    # Then
    assert await store.count("subscribe") == 0
    assert server.call("CLIENT", "LIST", "TYPE", "pubsub").strip() == ""
    for run in ("a", "b", "r"):
        assert inbox_of(await store.fields(run)) is None


async def test_the_first_who_waits_does_so_as_if_there_were_none(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(task("ok-a"))
    asked = await asked_for(store)
    # When
    waiting = asyncio.create_task(store.store.outcome("r"))
    await eventually(lambda: asked)
    await store.run(value="1")
    # Then
    assert (await soon(waiting))[1] == "1"
    assert inbox_of(await store.fields()) is None
    assert await store.count("subscribe") == 2
    # And for what it starts from now on it has one
    assert store.store.inbox.stands
    await store.create(task("ok-a"), run="s")
    assert store.store.inbox.silent("s") is not None


async def test_each_store_has_one_of_its_own(stores: Stores) -> None:
    store, other = await has_inbox(await stores.open()), await has_inbox(await stores.open())
    await store.create(task("ok-a"), run="a")
    await other.create(task("ok-a"), run="b")
    names = {inbox_of(await store.fields(run)) for run in ("a", "b")}
    assert len(names) == 2
    found = await store.ask("PUBSUB", "CHANNELS", "ns:inbox:*")
    assert set(found) == {f"ns:inbox:{name}" for name in names}


async def test_it_is_listened_to_until_the_store_is_closed(stores: Stores) -> None:
    store, other = await has_inbox(await stores.open()), await stores.open()
    assert len(await other.ask("PUBSUB", "CHANNELS", "ns:inbox:*")) == 1
    await store.store.close()

    async def gone() -> bool:
        return not await other.ask("PUBSUB", "CHANNELS", "ns:inbox:*")

    await eventually(gone)
    assert not store.store.inbox.stands


async def test_a_run_that_is_not_started_yet_has_none(stores: Stores) -> None:
    store = await has_inbox(await stores.open())
    await store.create(task("ok-a"), None)
    assert inbox_of(await store.fields()) is None
    assert store.store.inbox.silent("r") is None


# --- what it costs ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("signature", "tasks"),
    [(task("ok-a"), ["r"]), (chain(task("ok-a"), task("ok-b")), ["r/0", "r/1"])],
    ids=["task", "chain"],
)
async def test_a_run_that_is_started_and_waited_for_costs_its_steps_alone(
    stores: Stores, signature: Signature[Any], tasks: list[str]
) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    asked = await asked_for(store)
    await store.forget_counts()
    # When
    for value in ("1", "2"):
        run = f"r{value}"
        await store.create(signature, run=run)
        waiting = await begin_waiting(store, run)
        for key in tasks:
            await other.run(key.replace("r", run), value)
        # Then
        view, text = await soon(waiting)
        assert (view.key, view.kind, view.status, text) == (run, signature.kind, "done", value)
        assert view == await other.store.node(run)
    assert asked == []
    assert [await store.count(name) for name in LISTENING] == [0, 0]
    assert store.store.inbox._waiting == {}


async def test_a_stored_run_that_is_started_is_not_looked_at_before_it_has_ended(
    stores: Stores,
) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"), None)
    asked = await asked_for(store)
    # When
    assert await store.store.start("r", "null", "s") is None
    waiting = await begin_waiting(store)
    assert asked == []
    await other.run(value="1")
    # Then
    assert (await soon(waiting))[1] == "1"
    assert [fields for _, _, *fields in asked] == [["s0.1", "b0.1"]]


async def test_long_results_and_those_of_many_nodes_are_read(stores: Stores) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    flows = {
        "a": task("ok-a"),
        "b": swarm(task("ok-a"), task("ok-b")),
        "c": graph({"x": task("ok-a"), "y": task("ok-b")}, {}),
    }
    for run, flow in flows.items():
        await store.create(flow, run=run)
    waiting = [await begin_waiting(store, run) for run in flows]
    # When
    long = f'"{"x" * 10_000}"'
    for key, value in {"a": long, "b/0": "1", "b/1": "2", "c/x": "3", "c/y": "4"}.items():
        await other.run(key, value)
    # Then
    texts = [text for _, text in await soon(asyncio.gather(*waiting))]
    assert texts == [long, "[1,2]", '{"x":3,"y":4}']


# --- what is told when --------------------------------------------------------------------------
async def test_an_end_that_is_told_before_the_start_is_answered_is_seen(stores: Stores) -> None:
    # Given a store whose start is answered when the run has ended and that has been told
    store, other = await has_inbox(await stores.open()), await stores.open()
    step, inbox = store.store.server.step, store.store.inbox

    async def be_late(name: str, run_id: str, *arguments: Any) -> Any:
        answer = await step(name, run_id, *arguments)
        if name == "create":
            assert "r" in inbox._starting
            await other.run(value="1")
            await eventually(lambda: "r" not in inbox._starting)
        return answer

    setattr(store.store.server, "step", be_late)  # noqa: B010 - methods are not assigned to
    # When
    await store.create(task("ok-a"))
    # Then
    assert inbox.silent("r") is None
    assert (await soon(store.store.outcome("r")))[1] == "1"


@pytest.mark.parametrize("flow", [swarm(), chain(swarm())], ids=["swarm", "chain"])
async def test_what_has_ended_with_its_start_is_seen(stores: Stores, flow: Signature[Any]) -> None:
    store = await has_inbox(await stores.open())
    for number in range(5):  # the news may come before the answer, or after it
        run = f"r{number}"
        await store.create(flow, run=run)
        assert (await soon(store.store.outcome(run)))[0].status == "done"


async def test_an_end_between_the_start_and_the_wait_is_seen(stores: Stores) -> None:
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"))
    await other.run(value="1")
    await eventually(lambda: store.store.inbox.silent("r") is None)
    for _ in range(2):
        assert (await soon(store.store.outcome("r")))[1] == "1"


async def test_all_who_wait_for_a_run_are_told(stores: Stores) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(chain(task("ok-a")))
    waiting = [await begin_waiting(store) for _ in range(3)]
    waiting += [asyncio.create_task(other.store.outcome("r"))]
    waiting += [asyncio.create_task(store.store.outcome("r/0"))]
    await eventually(lambda: len(other.store._waiting) + len(store.store._waiting) == 5)
    # When
    await other.run("r/0", "1")
    # Then
    assert [text for _, text in await soon(asyncio.gather(*waiting))] == ["1"] * 5
    assert (store.store._waiting, store.store.inbox._waiting) == (set(), {})


@pytest.mark.parametrize("verb", [Verb.CANCEL, None])
async def test_an_end_without_a_result_is_told_as_well(stores: Stores, verb: Verb | None) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"))
    waiting = await begin_waiting(store)
    # When
    if verb is not None:
        await other.steer("r", verb)
    else:
        await other.fails(await other.begin())
    # Then
    view, text = await soon(waiting)
    assert (view.status, text) == ("canceled" if verb else "failed", None)
    assert await store.count("subscribe") == 2


async def test_who_waits_until_a_run_has_settled_is_not_woken_for_good_by_its_end(
    stores: Stores,
) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(chain(task("ok-a"), ok=[task("ok-b")]))
    waiting = await begin_waiting(store, until="settled")
    asked = await asked_for(store)
    # When
    await other.run("r/0")
    await eventually(lambda: asked)
    assert not waiting.done()
    await other.run("r/!success-0")
    # Then
    assert (await soon(waiting)).key == "r"


async def test_who_waits_for_a_part_of_the_run_listens_and_looks(stores: Stores) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(chain(task("ok-a"), task("ok-b")))
    asked = await asked_for(store)
    # When
    waiting = asyncio.create_task(store.store.outcome("r/0"))
    await eventually(lambda: asked)
    await other.run("r/0", "1")
    # Then
    assert (await soon(waiting))[1] == "1"


# --- what was true before -----------------------------------------------------------------------
async def fail_and_retry(store: Handle, other: Handle) -> None:
    """Elsewhere, before anybody waits."""
    await other.fails(await other.begin())
    assert (await other.steer("r", Verb.RETRY)).applied


@pytest.mark.parametrize("told", ["before", "after"])
async def test_who_waits_after_a_retry_gets_the_new_end(stores: Stores, told: str) -> None:
    # Given a run that has failed and runs again, of which the store was told or is told too late
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"))
    held = hold_back(store) if told == "after" else []
    await fail_and_retry(store, other)
    if told == "before":
        await eventually(lambda: store.store.inbox.silent("r") is None)
    # When
    asked = await asked_for(store)
    waiting = asyncio.create_task(store.store.outcome("r"))
    if told == "after":
        await eventually(lambda: "r" in store.store.inbox._waiting)
        await let_in(store, held)
    await eventually(lambda: asked)
    await other.store.view("r")
    # Then
    assert not waiting.done()
    if told == "after":
        held.clear()
        await other.run(attempt=2, value="2")
        await let_in(store, held)
    else:
        await other.run(attempt=2, value="2")
    view, text = await soon(waiting)
    assert (view.status, text) == ("done", "2")


async def test_who_waits_while_a_callback_runs_again_waits_for_that(stores: Stores) -> None:
    # Given a run that had settled, of which the store is told too late
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a", ok=[task("bad-b")]))
    held = hold_back(store)
    await other.run("r")
    await other.fails(await other.begin("r/!success-0"))
    assert (await other.steer("r/!success-0", Verb.RETRY)).applied
    # When
    waiting = await begin_waiting(store, until="settled")
    asked = await asked_for(store)
    await let_in(store, held)
    await eventually(lambda: asked)
    await other.store.view("r")
    # Then
    assert not waiting.done()
    held.clear()
    await other.run("r/!success-0", attempt=2)
    await let_in(store, held)
    assert (await soon(waiting)).status == "done"


async def test_what_is_started_again_with_its_key_is_looked_at(stores: Stores) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    assert (await store.create(task("ok-a"), content="c")).fresh
    assert store.store.inbox.silent("r") is not None
    # When
    assert not (await store.create(task("ok-a"), content="c")).fresh
    # Then
    assert store.store.inbox.silent("r") is None
    await other.run(value="1")
    assert (await soon(store.store.outcome("r")))[1] == "1"


async def test_what_others_have_started_is_looked_at(stores: Stores) -> None:
    store, other = await has_inbox(await stores.open()), await has_inbox(await stores.open())
    await other.create(task("ok-a"), content="c")
    await other.run(value="1")
    # When
    assert not (await store.create(task("ok-a"), content="c")).fresh
    # Then
    assert (await soon(store.store.outcome("r")))[1] == "1"
    assert inbox_of(await store.fields()) == other.store.inbox._name


async def test_a_start_that_is_refused_or_was_made_before_tells_nothing(stores: Stores) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"), None)
    assert await other.store.start("r", "null", "theirs") is None
    # When
    for start_id in ("mine", "theirs"):
        await store.store.start("r", "null", start_id)
        # Then
        assert store.store.inbox.silent("r") is None
    assert inbox_of(await store.fields()) is None


async def test_a_start_that_fails_tells_nothing(stores: Stores) -> None:
    store = await has_inbox(await stores.open())
    with pytest.raises(RunNotFound):
        await store.store.start("nothing", "null", "s")
    assert store.store.inbox.silent("nothing") is None
    with pytest.raises(RunNotFound):
        await soon(store.store.wait("nothing", "ended"))


async def test_a_start_whose_answer_was_lost_tells_nothing(stores: Stores) -> None:
    # Given a store whose call is made twice
    store, other = await has_inbox(await stores.open()), await stores.open()
    step = store.store.server.step

    async def lose_the_answer(*arguments: Any) -> Any:
        await step(*arguments)
        return await step(*arguments)

    setattr(store.store.server, "step", lose_the_answer)  # noqa: B010
    # When
    await store.create(task("ok-a"), content="c")
    setattr(store.store.server, "step", step)  # noqa: B010
    # Then
    assert store.store.inbox.silent("r") is None
    await other.run(value="1")
    assert (await soon(store.store.outcome("r")))[1] == "1"


async def test_a_run_that_was_removed_is_not_waited_for(stores: Stores) -> None:
    # Given
    store = await stores.open_at(policy=Policy(result_ttl=10.0))
    other = await stores.open_at(policy=Policy(result_ttl=10.0))
    await has_inbox(store)
    await store.create(task("ok-a"))
    await other.run()
    # When
    await eventually(lambda: store.store.inbox.silent("r") is None)
    stores.advance(10)
    await other.look()
    # Then
    with pytest.raises(RunNotFound):
        await soon(store.store.wait("r", "ended"))


async def test_a_run_of_a_newer_version_is_refused(stores: Stores) -> None:
    # Given
    store = await has_inbox(await stores.open())
    await store.create(task("ok-a"))
    waiting = await begin_waiting(store)
    # When
    await store.rewrite("n", st="done")
    await store.rewrite("run", v=VERSION + 1)
    name = store.store.inbox._name
    await store.ask("PUBLISH", f"ns:inbox:{name}", "r ended")
    # Then
    with pytest.raises(StoreError, match="newer"):
        await soon(waiting)


# --- what goes wrong ----------------------------------------------------------------------------
@pytest.mark.parametrize("ends", ["before", "after"])
async def test_what_was_not_told_is_seen_when_the_connection_stands_again(
    stores: Stores, ends: str
) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"))
    waiting = await begin_waiting(store) if ends == "after" else None
    # When
    assert await other.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
    await other.run(value="1")
    # Then
    view, text = await soon(waiting or store.store.outcome("r"))
    assert (view.status, text) == ("done", "1")


async def test_who_waits_goes_on_after_the_connection_was_lost(stores: Stores) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"))
    waiting = await begin_waiting(store)
    asked = await asked_for(store)
    # When
    assert await other.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
    await eventually(lambda: asked)
    assert store.store.inbox.stands
    await other.run(value="1")
    # Then
    assert (await soon(waiting))[1] == "1"


async def test_while_the_connection_is_lost_runs_are_started_without(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    store, other = await has_inbox(await stores.open()), await stores.open()
    topic = store.store.channel._topics[store.store.inbox._topic]
    monkeypatch.setattr("mageflow_core.stores.redis.channel.FIRST_PAUSE", 10_000.0)
    monkeypatch.setattr("mageflow_core.stores.redis.channel.LONGEST_PAUSE", 10_000.0)
    await other.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await eventually(lambda: not topic.answered)
    # When
    await store.create(task("ok-a"))
    # Then
    assert inbox_of(await store.fields()) is None
    assert store.store.inbox.silent("r") is None


async def test_what_was_lost_on_the_way_is_seen_a_little_later(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(views, "LOOK_AGAIN", 0.05)
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"))
    hold_back(store)
    # When
    waiting = await begin_waiting(store)
    await other.run(value="1")
    # Then
    assert (await soon(waiting))[1] == "1"


@pytest.mark.parametrize("until", ["ended", "settled"])
async def test_who_waits_no_longer_leaves_nothing(stores: Stores, until: Until) -> None:
    # Given
    store = await has_inbox(await stores.open())
    await store.create(task("ok-a"))
    waiting = [await begin_waiting(store, until=until) for _ in range(2)]
    # When
    waiting[0].cancel()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting[1], 0.01)
    await asyncio.wait(waiting)
    # Then
    assert (store.store._waiting, store.store.inbox._waiting) == (set(), {})
    assert await store.ask("PUBSUB", "CHANNELS", "ns:run:*") == []
    # And others can wait as before
    again = await begin_waiting(store)
    await store.run()
    await soon(again)


async def test_who_could_not_begin_to_wait_leaves_nothing(stores: Stores) -> None:
    store = await stores.open()
    await store.create(task("ok-a"))
    waiting = asyncio.create_task(store.store.wait("r", "ended"))
    await asyncio.sleep(0)
    assert len(store.store._waiting) == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert store.store._waiting == set()


async def test_a_waiter_is_told_that_its_store_was_closed(stores: Stores) -> None:
    # Given
    store = await has_inbox(await stores.open())
    await store.create(task("ok-a"))
    waiting = [await begin_waiting(store), await begin_waiting(store, until="settled")]
    # When
    store.store.end_waiting(NotOpen("it is closed"))
    late = await begin_waiting(store)
    # Then
    for each in (*waiting, late):
        with pytest.raises(NotOpen, match="closed"):
            await soon(each)
    await store.store.close()
    with pytest.raises(NotOpen):
        await soon(store.store.wait("r", "ended"))
    assert (store.store._waiting, store.store.inbox._waiting) == (set(), {})


# --- users --------------------------------------------------------------------------------------
async def test_a_user_who_may_not_listen_to_it_waits_as_if_there_were_none(
    stores: Stores, make_server: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    rules = "~* resetchannels &ns:run:* &ns:control &ns:due +@all"
    server = make_server(users={"app": ("secret", rules)})
    store, other = await stores.open(server.url_of("app")), await stores.open(server.url)
    asked = await asked_for(store)
    for run in ("a", "b"):
        await store.create(task("ok-a"), run=run)
        asked.clear()
        # When
        waiting = asyncio.create_task(store.store.outcome(run))
        await eventually(lambda: asked)
        await other.run(run, "1")
        # Then
        assert (await soon(waiting))[1] == "1"
        assert inbox_of(await other.fields(run)) is None
    assert caplog.text.count("NOPERM") == 1


# --- clusters -----------------------------------------------------------------------------------
async def test_in_a_cluster_it_is_told_of_runs_on_all_servers(stores: Stores) -> None:
    require_redis()
    async with Aio(RedisCluster(masters=3)) as aio:
        store = await has_inbox(await stores.open(aio.sync.nodes[0].url))
        other = await stores.open(aio.sync.nodes[1].url)
        runs = [f"r{number}" for number in range(20)]
        await asyncio.gather(*(store.create(task("ok-a"), run=run) for run in runs))
        waiting = [await begin_waiting(store, run) for run in runs]
        asked = await asked_for(store)
        # When
        for run in runs:
            await other.run(run, f'"{run}"')
        # Then
        texts = [text for _, text in await soon(asyncio.gather(*waiting))]
        assert texts == [f'"{run}"' for run in runs]
        assert asked == []
        await store.store.close()
        await other.store.close()
        stores.opened.clear()


# --- what nobody else sees ----------------------------------------------------------------------
async def test_what_is_read_of_a_run_says_nothing_of_it(stores: Stores) -> None:
    store, other = await has_inbox(await stores.open()), await stores.open()
    await store.create(task("ok-a"), run="a")
    await other.create(task("ok-a"), run="b")
    for run in ("a", "b"):
        await other.run(run)
    seen, plain = [await store.store.history(run) for run in ("a", "b")]
    assert [event[1:] for event in seen] == [event[1:] for event in plain]
    assert "inbox" not in repr(await store.store.view("a"))
