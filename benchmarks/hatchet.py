"""Flows on Hatchet beside plain Hatchet, in one run, on one real engine.

    python benchmarks/hatchet.py [--quick] [--json]

Needs the programs of Hatchet's engine and of Postgres on PATH. Both kinds use one engine on the
loopback; a redis-server beside it keeps MageFlow's runs. This process is the client; each kind has
one worker process, with as many tasks at the same time, which is what Hatchet has by default.
Tasks do nothing. Figures are printed as they come. For what the columns say see `side_by_side`;
server is the engine, its Postgres and Redis.

Plain Hatchet chains by a DAG of three steps and, as *spawning*, by a durable task that runs the
three of them: tasks that wait for others are to be durable, as its documentation has it, and
ordinary ones would hold the slots that the others need. It fans out from a task that runs all items
at once, and then the callback; one durable, as *durable*, and one not. Who waits for many runs
does so for all of them at the same time: `aio_run_many` by itself looks at ten, and hears once a
second of those that have ended before it looks.

What comes first is what MageFlow itself takes, by runs of one task, many at once. *started and
awaited* is the client's processor time for a run, of MageFlow and of plain Hatchet. *our layer* is
what MageFlow has of it beyond as many plain triggers in one call whose results nobody awaits: that
much Hatchet's client takes anyway, and all else is MageFlow and its store. What the SDK has loaded
is set aside for these (`gc.freeze`), as else the garbage collector looks over some 200,000 objects
of it in one lot and not in the next. *asked of the store* are
the requests for a task, of client and worker, that the store gets: what arrives together is one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

# Files here have the names of what they measure, and their folder would come first.
HERE = Path(__file__).resolve().parent
sys.path = [*(path for path in sys.path if Path(path).resolve() != HERE), str(HERE)]

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from hatchet_sdk import ClientConfig, Context, DurableContext, EmptyModel, Hatchet
import grpc  # noqa: E402
from hatchet_sdk.config import ClientTLSConfig  # noqa: E402
from pydantic import BaseModel  # noqa: E402
from side_by_side import Bench, Figure, Work, head, line  # noqa: E402
from side_by_side.flows import SLOTS, WITHIN, Flows  # noqa: E402

from mageflow_conformance.servers import HatchetServer, MissingServer, RedisServer  # noqa: E402
from mageflow_conformance.servers.programs import find_program  # noqa: E402

# A line for each task is work, too. Not only here: Hatchet's worker has a process of its own that
# listens, which has this module again.
logging.getLogger("hatchet").setLevel(logging.ERROR)

LONG = timedelta(minutes=10)
WANTED_CLIENT = 300.0  # microseconds of our layer, for a run
WANTED_ASKED = 2.0
ONE_BY_ONE = 20  # runs


class Wide(BaseModel):
    width: int


class Plain:
    """Hatchet as its documentation shows it."""

    def __init__(self, token: str) -> None:
        tls = ClientTLSConfig(strategy="none")
        self.hatchet = hatchet = Hatchet(config=ClientConfig(token=token, tls_config=tls))

        @hatchet.task(name="step")
        async def step(_given: EmptyModel, _context: Context) -> dict[str, int]:
            return {"x": 1}

        @hatchet.task(name="item")
        async def item(_given: EmptyModel, _context: Context) -> dict[str, int]:
            return {}

        @hatchet.durable_task(name="three", execution_timeout=LONG)
        async def three(_given: EmptyModel, _context: DurableContext) -> dict[str, int]:
            for _ in range(3):
                given = await step.aio_run()
            return given

        @hatchet.task(name="wide", execution_timeout=LONG, input_validator=Wide)
        async def wide(given: Wide, _context: Context) -> dict[str, int]:
            await results(await triggered(item, given.width))
            await item.aio_run()
            return {}

        @hatchet.durable_task(name="durable", execution_timeout=LONG, input_validator=Wide)
        async def durable(given: Wide, _context: DurableContext) -> dict[str, int]:
            # Of a durable task's children it is told, all at the same time.
            await item.aio_run_many([item.create_bulk_run_item() for _ in range(given.width)])
            await item.aio_run()
            return {}

        dag = hatchet.workflow(name="dag")

        async def link(_given: EmptyModel, _context: Context) -> dict[str, int]:
            return {"x": 1}

        first = dag.task(name="first")(link)
        second = dag.task(name="second", parents=[first])(link)
        dag.task(name="third", parents=[second])(link)
        self.step, self.three, self.dag = step, three, dag
        self.wide, self.durable = wide, durable
        self.workflows: list[Any] = [step, item, three, wide, durable, dag]

    def work(self) -> None:
        worker = self.hatchet.worker("plain", slots=SLOTS, workflows=self.workflows)
        worker.start()

    async def ready(self) -> None:
        """Until the worker runs what it has registered. The engine may never assign what was
        triggered between the one and the other."""
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    async with asyncio.timeout(3):
                        await self.step.aio_run()
                except (grpc.RpcError, TimeoutError):
                    await asyncio.sleep(0.2)
                else:
                    return

    async def single(self, count: int) -> None:
        await results(await triggered(self.step, count))

    async def chains(self, count: int) -> None:
        await results(await triggered(self.dag, count))

    async def spawned(self, count: int) -> None:
        await results(await triggered(self.three, count))

    async def fan_out(self, width: int) -> None:
        await self.wide.aio_run(Wide(width=width))

    async def durable_fan_out(self, width: int) -> None:
        await self.durable.aio_run(Wide(width=width))


async def triggered(workflow: Any, count: int) -> list[Any]:
    items = [workflow.create_bulk_run_item() for _ in range(count)]
    refs: list[Any] = await workflow.aio_run_many(items, wait_for_result=False)
    return refs


async def results(refs: list[Any]) -> None:
    await asyncio.gather(*(ref.aio_result() for ref in refs))


def flows_on(token: str, store: str) -> Flows:
    return Flows(backend="hatchet", store=store, hatchet={"token": token, "tls": "none"})


KINDS: dict[str, Callable[[str, str], Flows | Plain]] = {
    "mageflow": flows_on,
    "plain": lambda token, _store: Plain(token),
}


# --- what MageFlow itself takes -------------------------------------------------------------------
@dataclass(frozen=True)
class Layer:
    """client: microseconds of this process's processor time for a run that is started and awaited,
    of MageFlow and of plain Hatchet. triggered: of plain Hatchet for one that is only started.
    own: what MageFlow takes beyond that. asked: requests to the store for a task, by workload."""

    client: tuple[float, float]
    triggered: float
    own: float
    low: float
    high: float
    asked: dict[str, float]

    def __str__(self) -> str:
        ours, theirs = self.client
        spread, starting = f"{self.low:.0f} to {self.high:.0f}", f"{self.triggered:.0f}"
        lines = [
            "microseconds of the client's processor time for a run",
            f"  started and awaited  {ours:>6.0f}  plain {theirs:.0f}, to start {starting}",
            f"  our layer            {self.own:>6.0f}  {spread}, wanted {WANTED_CLIENT:.0f}",
            f"asked of the store for a task, wanted {WANTED_ASKED:.1f}",
            *(f"  {name:19}  {asked:>6.2f}" for name, asked in self.asked.items()),
            "",
        ]
        return "\n".join(lines)


async def layer(
    flows: Flows, plain: Plain, store: RedisServer, *, rounds: int, single: int, chains: int
) -> Layer:
    ours, theirs, starts = [], [], []
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        ours.append(await processor(flows.single(single)) / single)
        own, refs = time.process_time(), await triggered(plain.step, single)
        starts.append((time.process_time() - own) / single * 1e6)
        theirs.append(starts[-1] + await processor(results(refs)) / single)
    gc.unfreeze()
    own_part = [all_of_it - start for all_of_it, start in zip(ours, starts, strict=True)]
    low, middle, high = statistics.quantiles(own_part, n=4)
    asked = {
        "independent tasks": await requests(store, flows.single(single)) / single,
        "chains of 3": await requests(store, flows.chains(chains)) / (3 * chains),
        "chains, one by one": await requests(store, one_by_one(flows.chains)) / (3 * ONE_BY_ONE),
        "tasks, one by one": await requests(store, one_by_one(flows.single)) / ONE_BY_ONE,
    }
    of = statistics.median
    return Layer((of(ours), of(theirs)), of(starts), middle, low, high, asked)


async def processor(work: Awaitable[None]) -> float:
    """Microseconds that this process takes for it."""
    own = time.process_time()
    await work
    return (time.process_time() - own) * 1e6


async def one_by_one(work: Callable[[int], Awaitable[None]]) -> None:
    for _ in range(ONE_BY_ONE):
        await work(1)


async def requests(store: RedisServer, work: Awaitable[None]) -> int:
    """What its server has read meanwhile: commands that arrive together are read together."""
    before = int(store.info("stats")["total_reads_processed"])
    await work
    return int(store.info("stats")["total_reads_processed"]) - before


# --------------------------------------------------------------------------------------------------
async def measured(
    bench: Bench, token: str, store: RedisServer, *, quick: bool
) -> AsyncIterator[Figure | Layer]:
    flows, plain = flows_on(token, store.url), Plain(token)
    scale = 2 if quick else 1
    single, chains, wide = 300 // scale, 100 // scale, 1_000
    seldom = 2 if quick else 3  # what takes half a minute
    async with flows.app:
        await plain.ready()
        for kind in (flows, plain):  # what is made at first use
            await kind.single(20)
            await kind.chains(5)
        await plain.spawned(5)
        yield await layer(flows, plain, store, rounds=3 if quick else 7, single=300, chains=chains)
        workloads: tuple[tuple[str, int, Work, Work, int | None], ...] = (
            (
                "independent tasks",
                single,
                lambda: flows.single(single),
                lambda: plain.single(single),
                None,
            ),
            (
                "chains of 3, a DAG",
                3 * chains,
                lambda: flows.chains(chains),
                lambda: plain.chains(chains),
                None,
            ),
            (
                "chains of 3, spawning",
                3 * chains,
                lambda: flows.chains(chains),
                lambda: plain.spawned(chains),
                None,
            ),
            (
                f"{wide:,} and a callback",
                wide,
                lambda: flows.fan_out(wide),
                lambda: plain.fan_out(wide),
                seldom,
            ),
            (
                f"{wide:,}, durable",
                wide,
                lambda: flows.fan_out(wide),
                lambda: plain.durable_fan_out(wide),
                seldom,
            ),
        )
        for name, tasks, ours, theirs, rounds in workloads:
            sides = ("mageflow", tasks, ours), ("plain", tasks, theirs)
            yield await bench.beside(name, 1.0, sides, rounds=rounds)


async def tell(figures: AsyncIterator[Figure | Layer], *, for_machines: bool) -> None:
    """Each as it comes: one that is cut off has said something."""
    found, titled = [], False
    async for figure in figures:
        found.append(asdict(figure))
        if for_machines:
            continue
        if isinstance(figure, Figure) and not titled:
            titled = True
            print(head())
        print(line(figure) if isinstance(figure, Figure) else figure, flush=True)
    if for_machines:
        print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, and half of most of the work"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--work", nargs=3, metavar=("KIND", "TOKEN", "STORE"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.work is not None:
        kind, token, store = arguments.work
        KINDS[kind](token, store).work()
        return
    try:
        find_program(HatchetServer.program)
    except MissingServer as missing:
        print(f"not measured: {missing}")
        return
    with RedisServer() as redis, HatchetServer() as engine:
        own = [engine.token, redis.url]
        commands = {kind: [sys.executable, __file__, "--work", kind, *own] for kind in KINDS}
        servers = [redis.pid, engine.pid, engine._database.pid]  # noqa: SLF001 - its own
        bench = Bench(commands, servers, rounds=3 if arguments.quick else 5)
        with bench.workers():
            figures = measured(bench, engine.token, redis, quick=arguments.quick)
            asyncio.run(tell(figures, for_machines=arguments.json))


if __name__ == "__main__":
    main()
