"""What Hatchet does to those who do not know it, and what does not become of flows for all that."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from functools import partial

import pytest
from hatchet_bench import HatchetBench
from hatchet_sdk import Context as HatchetContext
from hatchet_sdk import EmptyModel
from hatchet_sdk.contracts.v1.workflows_pb2 import CreateWorkflowVersionRequest
from hatchet_sdk.runnables.contextvars import ctx_step_run_id, ctx_workflow_run_id

from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core import Context, Retry, TaskSignature, chain
from mageflow_hatchet.stub.server import HatchetStub

pytestmark = pytest.mark.timeout(120)


def call(task: str, **arguments: object) -> TaskSignature[object]:
    return TaskSignature(task=task, args=arguments)


# --- a link to the parent -------------------------------------------------------------------------
async def test_what_a_body_starts_is_nobodys_child(bench: HatchetBench) -> None:
    # Given a body that starts a run, at its second attempt again, in what Hatchet links runs by
    app = bench.app()
    linked: list[bool] = []

    @app.task
    async def child(n: int) -> int:
        return n

    @app.task(retries=Retry(retries=1, delay=0))
    async def parent(ctx: Context) -> list[str]:
        linked.append(bool(ctx_step_run_id.get() and ctx_workflow_run_id.get()))
        runs = [await app.start(child.sign(n=10 * ctx.attempt + n)) for n in range(2)]
        if ctx.attempt == 1:
            raise ValueError("once more")
        return [run.id for run in runs]

    await bench.worker(app)
    client = await bench.client()
    run = await client.start(call("parent"))
    # Then each of them is a run of its own, and not the one that stood in its place before
    made = [await client.load(each) for each in await run.result(timeout=40)]
    assert [await each.result(timeout=20) for each in made] == [20, 21]
    assert linked == [True, True]
    assert len({each.metadata for each in bench.runs(task="child")}) == 4
    assert {each.parent for each in bench.runs()} == {""}


async def test_hatchet_itself_links_what_a_task_triggers(bench: HatchetBench) -> None:
    # Given a native task that triggers another, natively, in a flow
    hatchet = bench.hatchet()

    @hatchet.task(name="inner")
    async def inner(_given: EmptyModel, _context: HatchetContext) -> dict[str, int]:
        return {"n": 1}

    @hatchet.task(name="outer")
    async def outer(_given: EmptyModel, _context: HatchetContext) -> dict[str, str]:
        return {"run": (await inner.aio_run(wait_for_result=False)).workflow_run_id}

    app = bench.app(hatchet)
    await bench.worker(app)
    run = await (await bench.client()).start(call("outer"))
    # Then that is linked, as it is without MageFlow
    said = await run.result(timeout=20)
    made = bench.record.run(said["run"])
    assert made is not None
    assert made.parent in {each.id for each in bench.runs(run=run.id)}


# --- timeouts -------------------------------------------------------------------------------------
async def test_a_job_that_waits_longer_than_hatchet_lets_it_still_runs(
    fast_bench: HatchetBench,
) -> None:
    # Given a job that no worker takes, and a native run beside it
    hatchet = fast_bench.hatchet()
    client = await fast_bench.client()
    native = hatchet.task(name="native")(_nothing)
    hatchet._client.admin.put_workflow(native.to_proto())
    ref = await native.aio_run(wait_for_result=False)
    run = await client.start(call("waits"))

    # When five of its minutes are over, after which Hatchet cancels what has not begun
    def is_canceled() -> bool:
        native_run = fast_bench.record.run(ref.workflow_run_id)
        return native_run is not None and native_run.status == "CANCELLED"

    await eventually(is_canceled, within=30)
    # Then the job has not been
    app = fast_bench.app()

    @app.task
    async def waits() -> str:
        return "ran"

    await fast_bench.worker(app)
    assert await run.result(timeout=20) == "ran"
    (job,) = fast_bench.runs(run=run.id)
    assert job.crashes == job.failures == 0


async def test_a_body_may_take_longer_than_hatchet_lets_it(fast_bench: HatchetBench) -> None:
    # Given a body that takes longer than the minute after which Hatchet cancels a task
    app = fast_bench.app()
    begun: list[int] = []

    @app.task
    async def long(ctx: Context) -> int:
        begun.append(ctx.attempt)
        await asyncio.sleep(3)
        return 3

    await fast_bench.worker(app)
    run = await (await fast_bench.client()).start(call("long"))
    # Then it runs to its end, once
    assert await run.result(timeout=20) == 3
    assert begun == [1]
    await eventually(lambda: fast_bench.runs(run=run.id)[0].status == "COMPLETED")


async def _nothing(_given: EmptyModel, _context: HatchetContext) -> dict[str, int]:
    return {}


# --- names ----------------------------------------------------------------------------------------
async def test_queues_that_differ_in_case_alone_are_two(bench: HatchetBench) -> None:
    # Given two workers, each with one of two queues that are one to Hatchet
    ran: list[str] = []
    for queue in ("Fast", "fast"):
        said = {**bench.said, "queue": queue}
        app = bench.app(hatchet=said)

        @app.task
        async def where(_queue: str = queue) -> str:
            ran.append(_queue)
            return _queue

        await bench.worker(app)
    # When jobs go to each
    client = await bench.client()
    runs = [await client.start(call("where").options(queue=name)) for name in ("Fast", "fast") * 3]
    # Then each has its own
    assert [await run.result(timeout=20) for run in runs] == ["Fast", "fast"] * 3


async def test_a_native_task_in_capitals_is_found_by_its_portable_name(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()

    @hatchet.task(name="SendMail")
    async def send(_given: EmptyModel, _context: HatchetContext) -> dict[str, str]:
        return {"sent": "yes"}

    app = bench.app(hatchet)
    await bench.worker(app)
    client = await bench.client()
    assert await (await client.start(call("sendmail"))).result(timeout=20) == {"sent": "yes"}
    # And natively by its own
    assert await send.aio_run() == {"sent": "yes"}


# --- registration ---------------------------------------------------------------------------------
async def test_a_producer_may_come_before_any_worker_of_a_task(bench: HatchetBench) -> None:
    client = await bench.client()
    run = await client.start(chain(call("first", n=1), call("second")))
    await eventually(lambda: bench.runs(run=run.id), within=10)
    app = bench.app()

    @app.task
    async def first(n: int) -> int:
        return n + 1

    @app.task
    async def second(n: int) -> int:
        return n * 10

    await bench.worker(app)
    assert await run.result(timeout=20) == 20


async def test_a_producer_leaves_a_workers_definition_alone(bench: HatchetBench) -> None:
    # Given a worker whose task has a limit of Hatchet's
    app = bench.app()

    @app.task(native={"hatchet": {"concurrency": 3}})
    async def limited() -> int:
        return 1

    await bench.worker(app)
    # When a producer that knows nothing of that sends a job
    run = await (await bench.client()).start(call("limited"))
    assert await run.result(timeout=20) == 1
    # Then the limit is there still
    kept = dict(bench.record.workflows())[f"{bench.namespace}.limited"]
    (step,) = CreateWorkflowVersionRequest.FromString(kept).tasks
    assert [each.max_runs for each in step.concurrency] == [3]


def is_completed(bench: HatchetBench, run_id: str) -> bool:
    return {each.status for each in bench.runs(run=run_id)} == {"COMPLETED"}


# --- a worker -------------------------------------------------------------------------------------
async def test_a_worker_is_a_guest_in_its_process(bench: HatchetBench) -> None:
    """Hatchet's own takes the main thread, an event loop, signals, and another process."""
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    app = bench.app()

    @app.task
    async def here() -> int:
        return id(asyncio.get_running_loop())

    worker = await bench.worker(app)
    run = await (await bench.client()).start(call("here"))
    assert await run.result(timeout=20) == id(asyncio.get_running_loop())
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    await worker.stop()
    # And the next one in the same process works as well
    await bench.worker(app)
    again = await (await bench.client()).start(call("here"))
    assert await again.result(timeout=20) == id(asyncio.get_running_loop())


async def test_a_result_need_not_be_a_mapping(bench: HatchetBench) -> None:
    app = bench.app()

    @app.task
    async def values(n: int) -> list[int]:
        return list(range(n))

    @app.task
    async def nul() -> str:
        return "a\0b"

    await bench.worker(app)
    client = await bench.client()
    for name, arguments, wanted in (("values", {"n": 2}, [0, 1]), ("nul", {}, "a\0b")):
        run = await client.start(call(name, **arguments))
        assert await run.result(timeout=20) == wanted
        await eventually(partial(is_completed, bench, run.id))


async def test_a_crash_is_no_attempt(redis: RedisServer, namespace: str) -> None:
    # Given an engine that takes a worker for dead between two of its heartbeats
    attempts: list[tuple[int, int]] = []
    let = asyncio.Event()
    async with AsyncExitStack() as stack:
        engine = stack.enter_context(HatchetStub(lost=1.0))
        bench = HatchetBench(stack, namespace, redis.url, engine)
        app = bench.app()

        @app.task
        async def once(ctx: Context) -> int:
            attempts.append((ctx.attempt, ctx.native.retry_count))
            await let.wait()
            return ctx.attempt

        await bench.worker(app)
        run = await (await bench.client()).start(call("once"))
        # When it gives the job to somebody once more, and counts that
        await eventually(lambda: [each.crashes for each in bench.runs(run=run.id)] > [0], within=20)
        let.set()
        # Then the body has run once, and its attempt is the first
        assert await run.result(timeout=20) == 1
        assert attempts == [(1, 0)]


# --- the REST API ---------------------------------------------------------------------------------
async def test_a_body_that_hatchet_cancels_is_stopped_and_runs_again(bench: HatchetBench) -> None:
    # Given a body that runs
    app = bench.app()
    begun: list[int] = []

    @app.task
    async def held(ctx: Context) -> int:
        begun.append(ctx.attempt)
        if len(begun) == 1:
            await asyncio.sleep(60)
        return ctx.attempt

    await bench.worker(app)
    client = await bench.client()
    run = await client.start(call("held"))
    await eventually(lambda: begun, within=10)
    # When somebody cancels its run in Hatchet, which goes by REST
    (job,) = bench.runs(run=run.id)
    await app.native.runs.aio_cancel(job.id)
    # Then it is put back, as nobody has canceled the flow
    assert await run.result(timeout=40) == 1
    assert begun == [1, 1]


async def test_a_flow_is_canceled_without_hatchets_api(bench: HatchetBench) -> None:
    said = {**bench.said, "server_url": "http://127.0.0.1:9"}
    app = bench.app(hatchet=said)
    begun, ended = asyncio.Event(), []

    @app.task
    async def held() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("stopped")
            raise

    worker = await bench.worker(app)
    client = await bench.client()
    run = await client.start(call("held"))
    await asyncio.wait_for(begun.wait(), 10)
    await run.cancel()
    await eventually(lambda: ended == ["stopped"], within=5)
    # And the worker ends in order
    await worker.stop()


# --- what the dashboard shows ---------------------------------------------------------------------
async def test_runs_are_found_in_hatchet_by_run_and_key(bench: HatchetBench) -> None:
    app = bench.app()

    @app.task
    async def fine(n: int) -> int:
        return n

    @app.task
    async def fails(n: int) -> int:
        raise ValueError(f"no {n}")

    await bench.worker(app)
    client = await bench.client()
    run = await client.start(chain(call("fine", n=1), call("fails")))
    await run.settled(timeout=20)

    def ended() -> bool:
        return all(each.ended for each in bench.runs(run=run.id))

    await eventually(ended, within=10)
    first, second = (bench.runs(run=run.id, key=f"{run.id}/{n}")[0] for n in (0, 1))
    assert (first.status, first.workflow) == ("COMPLETED", f"{bench.namespace}.fine")
    assert second.status == "FAILED"
    assert "ValueError" in second.error
    assert "no 1" in second.error


async def test_what_is_put_back_leaves_nothing_in_hatchet(bench: HatchetBench) -> None:
    # Given a body that is stopped, as its worker ends
    app = bench.app(shutdown_grace=0.1)
    begun: list[int] = []

    @app.task
    async def held() -> int:
        begun.append(1)
        if len(begun) == 1:
            await asyncio.sleep(60)
        return len(begun)

    worker = await bench.worker(app)
    run = await (await bench.client()).start(call("held"))
    await eventually(lambda: begun, within=10)
    await worker.stop()
    await bench.worker(app)
    assert await run.result(timeout=20) == 2
    # Then Hatchet has nothing of it that waits for ever, and nothing that has failed
    await eventually(lambda: {each.status for each in bench.runs(run=run.id)} == {"COMPLETED"})
