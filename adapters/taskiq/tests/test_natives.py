"""Tasks that an existing broker has, and what becomes of them."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from taskiq import Context as TaskiqContext
from taskiq import InMemoryBroker, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq.brokers.shared_broker import async_shared_broker
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.waiting import eventually
from mageflow_core import Context, TaskSignature, chain, sign
from mageflow_core.errors import ConfigurationError, UnknownArgument
from mageflow_core.signatures.ambient import entered
from mageflow_taskiq import StreamBroker, TaskiqBackend


@pytest.fixture
def broker(bench: Bench) -> StreamBroker:
    return StreamBroker(bench.store, queue_name=bench.queue)


async def test_native_tasks_stand_in_flows_by_name_and_as_they_are(
    bench: Bench, broker: StreamBroker
) -> None:
    # Given tasks that the broker has by itself, one of them after the app was made
    @broker.task(task_name="shop.tasks:Double")
    async def double(n: int) -> int:
        return 2 * n

    app = bench.app(broker)

    @broker.task
    def half(n: int) -> int:
        return n // 2

    @app.task
    async def add(n: int) -> int:
        return n + 1

    # When they are in one flow with a task of MageFlow's
    worker = await bench.worker(app)
    entered.set(app)
    natives: list[Any] = [double, half]
    run = await app.start(chain("shop.tasks.double", natives[0], sign(natives[1]), add), {"n": 3})
    # Then it runs
    assert await run.result(timeout=20) == 7
    # And they are what they were
    assert await double(4) == 8
    await worker.stop()


async def test_a_native_call_knows_nothing_of_flows(
    bench: Bench, redis: Any, namespace: str
) -> None:
    # Given a broker that keeps results, with an app around it
    results: Any = RedisAsyncResultBackend(redis.url, prefix_str=namespace)
    broker = StreamBroker(bench.store, queue_name=bench.queue).with_result_backend(results)
    app = bench.app(broker)

    @broker.task(task_name="double", colour="red")
    async def double(n: int, context: TaskiqContext = TaskiqDepends()) -> list[Any]:
        return [2 * n, context.message.labels["colour"], context.message.task_name]

    @broker.task(task_name="fail")
    async def fail() -> None:
        raise ValueError("natively")

    await bench.worker(app)
    # When its tasks are called natively
    done = await (await double.kiq(4)).wait_result(timeout=20)
    failed = await (await fail.kiq()).wait_result(timeout=20)
    # Then they give what they give, and no run is made of it
    assert done.return_value == [8, "red", "double"]
    assert failed.is_err
    assert isinstance(failed.error, ValueError)
    assert await app.find() == []


class Pool:
    """What a worker has: made when it starts."""


async def connection(state: TaskiqState = TaskiqDepends()) -> AsyncIterator[str]:
    closed: list[str] = state.closed
    try:
        yield "connection"
    except ValueError:
        closed.append("by an error")
        raise
    else:
        closed.append("in order")


# As taskiq itself closes dependencies, from Python 3.12 on.
@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature of athrow:DeprecationWarning")
@pytest.mark.parametrize("kind", ["async", "in a thread"])
async def test_what_taskiq_fills_is_filled_and_is_no_input(
    bench: Bench, broker: StreamBroker, kind: str
) -> None:
    # Given native tasks with parameters that taskiq fills, and dependencies of every sort
    broker.add_dependency_context({Pool: Pool()})
    broker.state.closed = []
    threads: list[bool] = []

    if kind == "async":

        @broker.task(task_name="send")
        async def send(
            text: str,
            pool: Annotated[Pool, TaskiqDepends()],
            to: Any = TaskiqDepends(connection),
            context: TaskiqContext = TaskiqDepends(),
        ) -> list[Any]:
            if text == "no":
                raise ValueError(text)
            return [text, to, type(pool).__name__, context.message.labels["mf-task"]]
    else:

        @broker.task(task_name="send")
        def send(
            text: str,
            pool: Annotated[Pool, TaskiqDepends()],
            to: Any = TaskiqDepends(connection),
            context: TaskiqContext = TaskiqDepends(),
        ) -> list[Any]:
            threads.append(threading.current_thread() is not threading.main_thread())
            if text == "no":
                raise ValueError(text)
            return [text, to, type(pool).__name__, context.message.labels["mf-task"]]

    app = bench.app(broker)
    task = app.adopt(send)
    assert task is not None
    # Then they are no inputs
    assert list(inspect.signature(task.fn).parameters) == ["text"]
    with pytest.raises(UnknownArgument):
        task.sign(text="x", to="y")
    # And are there when it runs, and closed when it has ended
    await bench.worker(app)
    assert await task.run({"text": "hello", "to": "nobody"}) == [
        "hello",
        "connection",
        "Pool",
        "send",
    ]
    assert broker.state.closed == ["in order"]
    with pytest.raises(Exception, match="no"):
        await task.run({"text": "no"})
    assert broker.state.closed == ["in order", "by an error"]
    assert all(threads)


async def test_a_task_of_mageflows_sees_taskiqs_own_context(bench: Bench) -> None:
    app = bench.app()

    @app.task
    async def look(ctx: Context) -> list[str]:
        assert isinstance(ctx.native, TaskiqContext)
        return [ctx.native.message.task_name, ctx.native.message.task_id, ctx.key]

    await bench.worker(app)
    name, id_, key = await look.run()
    assert name == "mageflow:look"
    assert id_.startswith(key)


async def test_failures_are_shown_as_failures_of_the_task(
    bench: Bench, redis: Any, namespace: str
) -> None:
    # Given a broker that keeps results for a dashboard
    results: Any = RedisAsyncResultBackend(redis.url, prefix_str=namespace)
    app = bench.app(StreamBroker(bench.store, queue_name=bench.queue).with_result_backend(results))
    ids: dict[str, str] = {}

    @app.task
    async def work(ctx: Context, ok: bool) -> int:
        ids[str(ok)] = ctx.native.message.task_id
        if not ok:
            raise ValueError("not today")
        return 1

    await bench.worker(app)
    # When one job is done, and one fails
    assert await work.run({"ok": True}) == 1
    with pytest.raises(Exception, match="not today"):
        await work.run({"ok": False})

    # Then that is what it is shown
    async def result_of(which: str) -> Any:
        await eventually(lambda: results.is_result_ready(ids[which]))
        return await results.get_result(ids[which])

    assert not (await result_of("True")).is_err
    failed = await result_of("False")
    assert failed.is_err
    assert "not today" in str(failed.error)


async def test_shared_tasks_are_adopted_too(bench: Bench, broker: StreamBroker) -> None:
    @async_shared_broker.task(task_name=f"{bench.namespace}:shared")
    async def shared() -> int:
        return 1

    app = bench.app(broker)
    try:
        assert app.adopt(shared) is not None
    finally:
        del async_shared_broker.global_task_registry[f"{bench.namespace}:shared"]


async def test_what_is_no_task_of_the_broker_is_not_adopted(
    bench: Bench, broker: StreamBroker
) -> None:
    app = bench.app(broker)
    elsewhere = StreamBroker(bench.store, queue_name="elsewhere")

    @elsewhere.task(task_name="theirs")
    async def foreign() -> None: ...

    for thing in (foreign, len, "len"):
        assert app.adopt(thing) is None


async def test_of_two_tasks_with_one_portable_name_the_first_is_meant(
    bench: Bench, broker: StreamBroker, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("shop:send", "shop:Send"):

        @broker.task(task_name=name)
        async def send() -> None: ...

    backend = TaskiqBackend(broker, bench.app().settings)
    with caplog.at_level(logging.WARNING):
        assert [spec.name for _ in range(2) for spec in backend.natives()] == ["shop.send"] * 2
    (told,) = caplog.messages
    assert told.startswith("taskiq's task 'shop:Send' cannot be signed: 'shop:send' has its name")


def test_brokers_that_reach_nobody_are_refused_with_the_reason(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="InMemoryBroker runs tasks in the process"):
        bench.app(InMemoryBroker())
    with pytest.raises(ConfigurationError, match="AsyncSharedBroker sends and receives nothing"):
        bench.app(async_shared_broker)


async def test_a_broker_that_its_owner_starts_too_is_started_once(bench: Bench) -> None:
    # Given a broker whose owner wants to know when it starts and stops
    broker = RedisStreamBroker(bench.store, queue_name=bench.queue)
    told: list[str] = []
    broker.add_event_handler(TaskiqEvents.CLIENT_STARTUP, lambda _: told.append("startup"))
    broker.add_event_handler(TaskiqEvents.CLIENT_SHUTDOWN, lambda _: told.append("shutdown"))
    app = bench.app(broker)
    # When both the owner and the app open it, and the owner leaves first
    await broker.startup()
    async with app:
        await broker.shutdown()
        # Then it works as long as anybody needs it
        await app.start(TaskSignature(task="nothing"))
        assert told == ["startup"]
    assert told == ["startup", "shutdown"]


async def test_a_broker_has_one_app_at_a_time(bench: Bench, broker: StreamBroker) -> None:
    # Given an app around a broker that another one was made for before
    bench.app(broker)
    app = bench.app(broker)

    @app.task
    async def work() -> int:
        return 1

    await bench.worker(app)
    # Then that is the one that works, and while it does there is no other
    assert await work.run() == 1
    with pytest.raises(ConfigurationError, match="an app is open around this StreamBroker already"):
        bench.app(broker)


async def test_a_forked_process_has_connections_of_its_own(bench: Bench) -> None:
    program = [sys.executable, "-c", FORK, bench.store, bench.namespace, bench.queue]
    ran = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await ran.communicate()
    assert said == b"child 0, parent sees 2\n", errors.decode()


FORK = """
import asyncio, gc, os, sys
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow, TaskSignature
from mageflow_taskiq import StreamBroker

url, namespace, queue = sys.argv[1:]
broker = StreamBroker(url, queue_name=queue)
app = Mageflow(broker, store=url, namespace=namespace, warn_unclosed=False)

async def start(sent):
    async def arrived():
        return (await app.health()).waiting == sent
    await app.start(TaskSignature(task="nothing"))
    await eventually(arrived, within=20)
    gc.collect()  # what the parent uses must not be closed here, for they share what wakes it

async def parent():
    await start(1)
    pid = os.fork()
    if pid == 0:
        asyncio._set_running_loop(None)
        code = 1
        try:
            asyncio.run(start(2))
            code = 0
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    print(f"child {os.waitstatus_to_exitcode(status)}, parent sees", (await app.health()).waiting)
    await app.close()

asyncio.run(parent())
"""
LOOPS = """
import asyncio, sys
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow, TaskSignature
from mageflow_taskiq import StreamBroker

url, namespace, queue = sys.argv[1:]
broker = StreamBroker(url, queue_name=queue)
app = Mageflow(broker, store=url, namespace=namespace, warn_unclosed=False)

async def start(sent):
    async def arrived():
        return (await app.health()).waiting == sent
    await app.start(TaskSignature(task="nothing"))
    await eventually(arrived, within=20)

for sent in (1, 2, 3):  # each loop leaves the app open
    asyncio.run(start(sent))
print("done")
"""


async def test_each_event_loop_finds_the_broker_as_new(bench: Bench) -> None:
    program = [sys.executable, "-c", LOOPS, bench.store, bench.namespace, bench.queue]
    ran = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await ran.communicate()
    assert said == b"done\n", errors.decode()
