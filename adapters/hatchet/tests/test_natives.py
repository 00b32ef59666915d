"""A client that somebody has, whose tasks are adopted where they are."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hatchet_bench import HatchetBench
from hatchet_bench.depending import add_paying
from hatchet_sdk import (
    Context as HatchetContext,
)
from hatchet_sdk import (
    DurableContext,
    EmptyModel,
    Hatchet,
    NonRetryableException,
)
from hatchet_sdk.contracts.v1.workflows_pb2 import CreateWorkflowVersionRequest
from hatchet_sdk.runnables.workflow import Standalone
from hatchet_sdk.types.concurrency import ConcurrencyExpression, ConcurrencyLimitStrategy
from pydantic import BaseModel

from mageflow_conformance.waiting import eventually
from mageflow_core import Context, NativeContext, TaskSignature, chain
from mageflow_core.errors import TaskFailed
from mageflow_core.signatures.ambient import entered

pytestmark = pytest.mark.timeout(120)


class Order(BaseModel):
    amount: int
    to: str = "ada"


class Receipt(BaseModel):
    text: str


MINUTES = timedelta(minutes=5)


def call(task: str, **arguments: object) -> TaskSignature[Any]:
    return TaskSignature(task=task, args=arguments)


async def test_tasks_made_before_and_after_the_app_are_adopted(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()

    @hatchet.task(name="Charge", input_validator=Order)
    async def charge(order: Order, context: HatchetContext) -> Receipt:
        return Receipt(text=f"{order.to} {order.amount} {context.retry_count}")

    app = bench.app(hatchet)

    @hatchet.task(name="print")
    def later(given: EmptyModel, _context: HatchetContext) -> dict[str, Any]:
        return {"printed": given.model_dump()}

    printer: Any = later
    await bench.worker(app)
    # As the objects that they are, a task for a thread among them
    entered.set(app)
    run = await app.start(chain(charge, printer), {"amount": 5, "to": "bob"})
    assert await run.result(timeout=20) == {"printed": {"text": "bob 5 0"}}
    # And by name and by what a model takes, from a process that does not have them
    client = await bench.client()
    run = await client.start(chain(call("charge", amount=30), call("print")))
    assert await run.result(timeout=20) == {"printed": {"text": "ada 30 0"}}


async def test_native_calls_are_what_they_were(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()
    seen: list[dict[str, Any]] = []

    @hatchet.task(name="native-call", input_validator=Order, retries=1)
    async def native_call(order: Order, context: HatchetContext) -> Receipt:
        seen.append(dict(context.additional_metadata))
        if context.retry_count == 0:
            raise ValueError("once more")
        return Receipt(text=order.to)

    app = bench.app(hatchet)
    await bench.worker(app)
    given = await native_call.aio_run(Order(amount=1), additional_metadata={"of": "mine"})
    assert given == Receipt(text="ada")
    assert seen == [{"of": "mine"}] * 2
    assert await app.find() == []


async def test_a_flow_tries_again_as_hatchet_would(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()
    tried: list[int] = []

    @hatchet.task(name="flaky", retries=2)
    async def flaky(_given: EmptyModel, context: HatchetContext) -> dict[str, int]:
        tried.append(context.retry_count)
        if len(tried) < 3:
            raise ValueError("not yet")
        return {"n": context.attempt_number}

    @hatchet.task(name="hopeless", retries=5)
    async def hopeless(_given: EmptyModel, _context: HatchetContext) -> dict[str, int]:
        raise NonRetryableException("never")

    await bench.worker(bench.app(hatchet))
    client = await bench.client()
    assert await (await client.start(call("flaky"))).result(timeout=20) == {"n": 3}
    assert tried == [0, 1, 2]
    run = await client.start(call("hopeless"))
    with pytest.raises(TaskFailed, match="never"):
        await run.result(timeout=20)
    assert (await run.view()).attempt == 1


async def test_a_flow_measures_the_time_that_hatchet_would_give(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()

    @hatchet.task(name="slow", execution_timeout=timedelta(seconds=1))
    async def slow(_given: EmptyModel, _context: HatchetContext) -> dict[str, int]:
        await asyncio.sleep(60)
        return {}

    await bench.worker(bench.app(hatchet))
    run = await (await bench.client()).start(call("slow"))
    with pytest.raises(TaskFailed, match="Timeout"):
        await run.result(timeout=20)


async def test_what_a_task_depends_on_is_filled(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()

    kept = add_paying(hatchet)  # as a module keeps them
    await bench.worker(bench.app(hatchet))
    client = await bench.client()
    for name in ("pays", "pays-in-thread"):
        run = await client.start(call(name, amount=3))
        assert await run.result(timeout=20) == {"paid": "3 by bank of ada, attempt 1"}
    assert len(kept) == 2


async def test_a_stub_for_somebody_elses_task_is_not_served(bench: HatchetBench) -> None:
    # Given a task of one worker, and another that only has a stub for it
    elsewhere, here = bench.hatchet(), bench.hatchet()

    @elsewhere.task(name="theirs", input_validator=Order)
    async def theirs(order: Order, _context: HatchetContext) -> dict[str, int]:
        return {"n": order.amount}

    await bench.worker(bench.app(elsewhere))
    app = bench.app(here)
    stub = here.stubs.task(name="theirs", input_validator=Order)
    await bench.worker(app)
    # Then it is triggered through that, and runs where it is
    given: Any = [await stub.aio_run(Order(amount=n)) for n in range(4)]
    assert [each.model_dump() for each in given] == [{"n": n} for n in range(4)]
    assert app.adopt(stub) is None


async def test_limits_of_a_native_task_hold_for_its_jobs(bench: HatchetBench) -> None:
    hatchet = bench.hatchet()
    by_input = ConcurrencyExpression(
        expression="input.to", max_runs=1, limit_strategy=ConcurrencyLimitStrategy.CANCEL_NEWEST
    )
    constant = ConcurrencyExpression.from_int(2)

    @hatchet.task(
        name="limited",
        input_validator=Order,
        concurrency=[by_input, constant],
        on_crons=["0 0 * * *"],
    )
    async def limited(_order: Order, _context: HatchetContext) -> dict[str, int]:
        return {}

    await bench.worker(bench.app(hatchet))
    kept = dict(bench.record.workflows())
    job = CreateWorkflowVersionRequest.FromString(kept[f"{bench.namespace}.limited"])
    # All but what depends on input, which jobs do not have; and nothing that starts it
    assert [each.max_runs for each in job.tasks[0].concurrency] == [2]
    assert not job.cron_triggers
    native = CreateWorkflowVersionRequest.FromString(kept["limited"])
    assert [each.max_runs for each in native.tasks[0].concurrency] == [1, 2]
    assert list(native.cron_triggers) == ["0 0 * * *"]


async def test_the_app_stands_in_for_the_client(bench: HatchetBench) -> None:
    # Given a module as it was, but for one line: its client is the app around it
    app = bench.app(bench.hatchet())
    hatchet: Any = app  # type checkers know what it has by itself

    @hatchet.task(name="with-options", input_validator=Order, concurrency=3)  # type: ignore[untyped-decorator]
    async def with_options(order: Order, _context: HatchetContext) -> dict[str, int]:
        return {"n": order.amount}

    @hatchet.task  # type: ignore[untyped-decorator]
    async def plain(n: int) -> int:
        return n + 1

    @hatchet.durable_task(name="lasting", execution_timeout=MINUTES)  # type: ignore[untyped-decorator]
    async def lasting(_given: EmptyModel, context: DurableContext) -> dict[str, str]:
        return {"context": type(context).__name__}

    # Then what is Hatchet's is Hatchet's, and what is MageFlow's is MageFlow's
    assert isinstance(with_options, Standalone)
    assert isinstance(lasting, Standalone)
    assert hatchet.runs is app.native.runs
    assert hatchet.tenant_id == app.native.tenant_id
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hatchet.nonsense  # noqa: B018
    # And they run together
    await bench.worker(app)
    client = await bench.client()
    run = await client.start(chain(call("plain", n=1), call("plain")))
    assert await run.result(timeout=20) == 3
    run = await client.start(call("with-options", amount=7))
    assert await run.result(timeout=20) == {"n": 7}
    run = await client.start(call("lasting"))
    assert await run.result(timeout=20) == {"context": "DurableContext"}
    assert await with_options.aio_run(Order(amount=8)) == {"n": 8}


async def test_a_task_may_ask_for_hatchets_context(bench: HatchetBench) -> None:
    app = bench.app()

    @app.task
    async def asks(
        ctx: Context, native: NativeContext[HatchetContext], n: int
    ) -> tuple[bool, str, int]:
        return ctx.native is native, type(native).__name__, n

    await bench.worker(app)
    run = await (await bench.client()).start(call("asks", n=2))
    assert await run.result(timeout=20) == [True, "Context", 2]


async def test_two_apps_around_one_client_are_refused_while_one_is_open(
    bench: HatchetBench,
) -> None:
    hatchet = bench.hatchet()
    first = bench.app(hatchet)
    async with first:
        with pytest.raises(Exception, match="an app is open around this Hatchet client"):
            bench.app(hatchet)
    await eventually(lambda: not first.is_open)
    assert isinstance(bench.app(hatchet).native, Hatchet)
