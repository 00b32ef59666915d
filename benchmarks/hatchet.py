"""Flows on Hatchet beside plain Hatchet, in one run, on one real engine.

    python benchmarks/hatchet.py [--quick] [--json]

Needs the programs of Hatchet's engine and of Postgres on PATH. Both kinds use one engine on the
loopback; a redis-server beside it keeps MageFlow's runs. This process is the client; each kind has
one worker process, with as many tasks at the same time. Tasks do nothing. Plain Hatchet chains by
a DAG of three steps and, as *spawning*, by a task that runs the three of them; it fans out from a
task that runs all items at once, and then the callback. For what the columns say see
`side_by_side`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

# Files here have the names of what they measure, and their folder would come first.
HERE = Path(__file__).resolve().parent
sys.path = [*(path for path in sys.path if Path(path).resolve() != HERE), str(HERE)]

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from hatchet_sdk import ClientConfig, Context, EmptyModel, Hatchet
from hatchet_sdk.config import ClientTLSConfig  # noqa: E402
from pydantic import BaseModel  # noqa: E402
from side_by_side import Bench, Figure, report  # noqa: E402
from side_by_side.flows import SLOTS, Flows  # noqa: E402

from mageflow_conformance.servers import HatchetServer, MissingServer, RedisServer  # noqa: E402
from mageflow_conformance.servers.programs import find_program  # noqa: E402

LONG = timedelta(minutes=10)


class Wide(BaseModel):
    width: int


class Plain:
    """Hatchet as its documentation shows it."""

    def __init__(self, token: str) -> None:
        logging.getLogger("hatchet").setLevel(logging.ERROR)  # a line for each task is work, too
        tls = ClientTLSConfig(strategy="none")
        self.hatchet = hatchet = Hatchet(config=ClientConfig(token=token, tls_config=tls))

        @hatchet.task(name="step")
        async def step(_given: EmptyModel, _context: Context) -> dict[str, int]:
            return {"x": 1}

        @hatchet.task(name="item")
        async def item(_given: EmptyModel, _context: Context) -> dict[str, int]:
            return {}

        @hatchet.task(name="three", execution_timeout=LONG)
        async def three(_given: EmptyModel, _context: Context) -> dict[str, int]:
            for _ in range(3):
                given = await step.aio_run()
            return given

        @hatchet.task(name="wide", execution_timeout=LONG, input_validator=Wide)
        async def wide(given: Wide, _context: Context) -> dict[str, int]:
            await item.aio_run_many([item.create_bulk_run_item() for _ in range(given.width)])
            await item.aio_run()
            return {}

        dag = hatchet.workflow(name="dag")

        async def link(_given: EmptyModel, _context: Context) -> dict[str, int]:
            return {"x": 1}

        first = dag.task(name="first")(link)
        second = dag.task(name="second", parents=[first])(link)
        dag.task(name="third", parents=[second])(link)
        self.step, self.three, self.wide, self.dag = step, three, wide, dag
        self.workflows: list[Any] = [step, item, three, wide, dag]

    def work(self) -> None:
        worker = self.hatchet.worker("plain", slots=SLOTS, workflows=self.workflows)
        worker.start()

    async def single(self, count: int) -> None:
        await self._all_of(self.step, count)

    async def chains(self, count: int) -> None:
        await self._all_of(self.dag, count)

    async def spawned(self, count: int) -> None:
        await self._all_of(self.three, count)

    async def fan_out(self, width: int) -> None:
        await self.wide.aio_run(Wide(width=width))

    async def _all_of(self, workflow: Any, count: int) -> None:
        await workflow.aio_run_many([workflow.create_bulk_run_item() for _ in range(count)])


def flows_on(token: str, store: str) -> Flows:
    return Flows(backend="hatchet", store=store, hatchet={"token": token, "tls": "none"})


KINDS: dict[str, Callable[[str, str], Flows | Plain]] = {
    "mageflow": flows_on,
    "plain": lambda token, _store: Plain(token),
}


async def measured(bench: Bench, token: str, store: str, *, scale: int) -> list[Figure]:
    flows, plain = flows_on(token, store), Plain(token)
    single, chains, wide = 300 // scale, 100 // scale, 1_000
    async with flows.app:
        for kind in (flows, plain):  # what is made at first use
            await kind.single(20)
            await kind.chains(5)
        await plain.spawned(5)
        return [
            await bench.beside(
                "independent tasks",
                1.0,
                (
                    ("mageflow", single, lambda: flows.single(single)),
                    ("plain", single, lambda: plain.single(single)),
                ),
            ),
            await bench.beside(
                "chains of 3, a DAG",
                1.0,
                (
                    ("mageflow", 3 * chains, lambda: flows.chains(chains)),
                    ("plain", 3 * chains, lambda: plain.chains(chains)),
                ),
            ),
            await bench.beside(
                "chains of 3, spawning",
                1.0,
                (
                    ("mageflow", 3 * chains, lambda: flows.chains(chains)),
                    ("plain", 3 * chains, lambda: plain.spawned(chains)),
                ),
            ),
            await bench.beside(
                f"{wide:,} and a callback",
                1.0,
                (
                    ("mageflow", wide, lambda: flows.fan_out(wide)),
                    ("plain", wide, lambda: plain.fan_out(wide)),
                ),
            ),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, and a fifth of the work"
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
        bench = Bench(commands, [redis.pid, engine.pid], rounds=3 if arguments.quick else 5)
        with bench.workers():
            figures = asyncio.run(measured(bench, *own, scale=5 if arguments.quick else 1))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else report(figures))


if __name__ == "__main__":
    main()
