"""Namespaces: all that one has is under its name, and none sees another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from handles import Ear, Handle, Stores
from handles.handle import info
from simulation import chain, graph, swarm, task

from mageflow_conformance.servers import RedisCluster, RedisServer, require_redis
from mageflow_conformance.waiting import eventually
from mageflow_core.clock import SystemClock
from mageflow_core.errors import RunNotFound, SettingsError
from mageflow_core.machine import Policy, Verb
from mageflow_core.stores.protocol import Query, StoreOptions
from mageflow_core.stores.redis import RedisStore
from mageflow_core.stores.redis.keys import BUCKETS
from mageflow_core.stores.redis.records import VERSION


async def all_there_is(store: Handle) -> None:
    """A flow with something of everything, and all the calls that there are."""
    long = '"' + "x" * 70_000 + '"'
    await store.renew()
    await store.create(
        chain(
            swarm(task("ok-a"), task("ok-b", delay=0.001), open=True),
            graph({"x": task("ok-x"), "y": task("ok-y")}, {"y": ("x",)}),
            task("bad-c"),
            err=[task("ok-d")],
        )
        .label(a="b")
        .named("n"),
        long,
    )
    waiting = asyncio.create_task(store.store.wait("r/0/0", "ended"))
    await store.steer("r/0", Verb.SUSPEND)
    await store.claim("r/0/0")
    await store.steer("r/0", Verb.RESUME)
    await eventually(store.look)
    work = await store.begin("r/0/0")
    await store.store.sent(store.ear.take())
    await store.done(work, long)
    await waiting
    await store.add("r/0", *[task(f"ok-{n}") for n in range(2)])
    await store.store.close_swarm("r", "/0")
    await store.look()
    for number in (1, 2, 3):
        await store.run(f"r/0/{number}")
    await store.run("r/1/x", long)
    await store.store.pass_on(store.ear.take())
    await store.store.unknown("r/1/y")
    await store.run("r/1/y")
    await store.fails(await store.begin("r/2"))
    await store.steer("r", Verb.RETRY)
    await store.fails(await store.begin("r/2", attempt=2))
    await store.run("r/!error-0")
    await store.run("r/!error-0@2")
    assert (await store.store.view("r")).settled_at is not None
    await store.create(swarm(*(task(f"ok-{n}") for n in range(4_000))), None, run="stored")
    assert await store.store.reserve("stored", "r")
    await store.store.alias("stored", "r/0")
    await store.create(task("ok-a"), run="lost")
    await store.begin("lost")
    await store.store.leave("w1", crashed=True)
    await store.steer("lost", Verb.INTERRUPT)
    await store.steer("lost", Verb.CANCEL)
    await store.store.idle(0)
    for query in (Query(), Query(task="ok-a", labels={"a": "b"})):
        await store.store.find(query)
    await store.store.counts()
    await store.store.workers()
    await store.store.history("r")
    await store.store.children("r/0", 0, 10)
    await store.store.values("r/0", 0, 10)
    await store.store.signature("stored")


# --- keys and channels --------------------------------------------------------------------------
async def test_all_keys_begin_with_the_namespace(stores: Stores) -> None:
    store = await stores.open(namespace="shop")
    await all_there_is(store)
    keys = await store.keys()
    assert len(keys) > 20
    assert [key for key in keys if not key.startswith("{shop:")] == []


async def test_a_user_who_may_see_the_namespace_alone_can_do_everything(
    stores: Stores, make_server: Callable[..., RedisServer]
) -> None:
    # Given
    rules = "~{shop:* &shop:* +@all -@admin -@dangerous +info"
    server = make_server(users={"shop": ("secret", rules)})
    store = await stores.open(server.url_of("shop"), namespace="shop")
    # When
    await all_there_is(store)
    # Then
    assert server.call("ACL", "LOG") == []


async def test_such_a_user_can_use_no_other_namespace(
    stores: Stores, make_server: Callable[..., RedisServer]
) -> None:
    server = make_server(users={"shop": ("secret", "~{shop:* &shop:* +@all")})
    with pytest.raises(Exception, match="refuses this user"):
        await stores.open(server.url_of("shop"), namespace="shop-2")


async def test_everything_works_on_a_cluster_too(stores: Stores) -> None:
    require_redis()
    with RedisCluster(masters=3) as cluster:
        # Given
        store = await stores.open(cluster.url, namespace="shop")
        # When
        await all_there_is(store)
        # Then
        for node in cluster.nodes:
            assert node.call("DBSIZE") > 0
        await store.store.close()


# --- apart --------------------------------------------------------------------------------------
async def test_two_namespaces_of_a_server_see_nothing_of_each_other(stores: Stores) -> None:
    # Given
    one, other = await stores.open(namespace="shop"), await stores.open(namespace="shop-2")
    await other.renew("w2")
    # When
    await one.store.renew(info("w1", tasks=["ok-a"]))
    await one.create(swarm(task("ok-a"), task("ok-b", delay=0.001)))
    await one.begin("r/0")
    await one.steer("r", Verb.INTERRUPT)
    await eventually(lambda: one.ear.signals)
    # Then
    assert await other.look() == []
    assert (await other.store.find(Query())).runs == ()
    assert await other.store.counts() == {}
    assert [worker.id for worker in await other.store.workers()] == ["w2"]
    assert other.ear.signals == []
    with pytest.raises(RunNotFound):
        await other.store.view("r")
    assert (await other.create(task("ok-c"))).fresh
    assert (await one.store.view("r")).signature.kind == "swarm"


# --- layout -------------------------------------------------------------------------------------
async def test_what_a_namespace_is_laid_out_for_is_written_down_once(stores: Stores) -> None:
    # Given
    store = await stores.open()
    meta = store.store.server.keys.meta
    # Then
    said = await store.ask("HGETALL", meta)
    assert dict(zip(said[::2], said[1::2], strict=True)) == {
        "buckets": str(BUCKETS),
        "version": str(VERSION),
    }
    await stores.open()
    assert await store.ask("HGETALL", meta) == said


async def test_a_namespace_with_another_number_of_buckets_is_refused_and_nothing_stays_open(
    stores: Stores, server: RedisServer
) -> None:
    # Given
    store = await stores.open()
    await store.ask("HSET", store.store.server.keys.meta, "buckets", 32)
    await store.store.close()
    options = StoreOptions(policy=Policy(), clock=SystemClock(), namespace="ns")
    # Then
    with pytest.raises(SettingsError, match=r"'ns' has 32 buckets, and this version .* with 64"):
        await RedisStore.from_url(server.url, options).open(Ear())
