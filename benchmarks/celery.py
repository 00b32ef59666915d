"""Flows on Celery beside plain Celery and its canvas, in one run.

    python benchmarks/celery.py [--broker rabbitmq] [--quick] [--json]

Both use the same broker, Redis or RabbitMQ, on the loopback; MageFlow's runs and Celery's results
are in one redis-server. This process is the client; each kind has one worker with as many child
processes. Tasks do nothing. For what the columns say see `side_by_side`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

# This file has the name of what it measures, and its folder would come first.
HERE = Path(__file__).resolve().parent
sys.path = [*(path for path in sys.path if Path(path).resolve() != HERE), str(HERE)]

import celery  # noqa: E402
from side_by_side import Bench, Figure, report  # noqa: E402
from side_by_side.flows import WITHIN, Flows  # noqa: E402

from mageflow_conformance.servers import RabbitServer, RedisServer  # noqa: E402

PROCESSES = 2
OFTEN = 5


class Native:
    """Celery as its documentation shows it."""

    def __init__(self, broker: str, store: str) -> None:
        app = celery.Celery("native", broker=broker, backend=store, set_as_current=False)
        app.conf.update(broker_connection_retry_on_startup=True)
        self.app = app

        @app.task(name="step", shared=False)
        def step(x: int) -> int:
            return x

        @app.task(name="item", shared=False)
        def item() -> None: ...

        @app.task(name="done", shared=False)
        def done(items: list[None]) -> None: ...

        self.step, self.item, self.done = step, item, done

    def work(self) -> None:
        vars(sys)["__stdout__"] = sys.stdout = sys.stderr  # the figures are on the other one
        options = ["--without-gossip", "--without-mingle", "--loglevel=ERROR"]
        pool = ["--pool=prefork", f"--concurrency={PROCESSES}"]
        self.app.worker_main(["worker", *pool, *options])

    async def single(self, count: int) -> None:
        await asyncio.to_thread(self._all_of, lambda: self.step.s(1), count)

    async def chains(self, count: int) -> None:
        def canvas() -> Any:
            return celery.chain(self.step.s(1), self.step.s(), self.step.s())

        await asyncio.to_thread(self._all_of, canvas, count)

    async def fan_out(self, width: int) -> None:
        def canvas() -> Any:
            return celery.chord([self.item.s() for _ in range(width)], self.done.s())

        await asyncio.to_thread(self._all_of, canvas, 1)

    def _all_of(self, canvas: Callable[[], Any], count: int) -> None:
        """Each a canvas of its own: a chain that is applied twice has the ids of its first time,
        and who waits is given the results of that."""
        for result in [canvas().apply_async() for _ in range(count)]:
            result.get(timeout=WITHIN)


def flows_on(broker: str, store: str) -> Flows:
    return Flows(backend="celery", store=store, celery={"url": broker, "processes": PROCESSES})


KINDS: dict[str, Callable[[str, str], Flows | Native]] = {
    "mageflow": flows_on,
    "native": Native,
}


async def measured(bench: Bench, broker: str, store: str, *, scale: int) -> list[Figure]:
    flows, native = flows_on(broker, store), Native(broker, store)
    single, chains, wide, wider = (count // scale for count in (150, 50, 1_000, 10_000))
    async with flows.app:
        for kind in (flows, native):  # what is made at first use
            await kind.single(100)
            await kind.chains(20)
        return [
            await bench.beside(
                "single tasks",
                0.95,
                (
                    ("mageflow", single, lambda: flows.single(single)),
                    ("native", single, lambda: native.single(single)),
                ),
                often=OFTEN,
            ),
            await bench.beside(
                "chains of 3",
                1.0,
                (
                    ("mageflow", 3 * chains, lambda: flows.chains(chains)),
                    ("native", 3 * chains, lambda: native.chains(chains)),
                ),
                often=OFTEN,
            ),
            await bench.beside(
                f"{wide:,} and a callback",
                1.2,
                (
                    ("mageflow", wide, lambda: flows.fan_out(wide)),
                    ("native", wide, lambda: native.fan_out(wide)),
                ),
            ),
            await bench.beside(
                f"{wider:,} beside {wide:,}",
                0.9,
                (
                    ("mageflow", wider, lambda: flows.fan_out(wider, then=False)),
                    ("mageflow", wide, lambda: flows.fan_out(wide, then=False)),
                ),
            ),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--broker", choices=["redis", "rabbitmq"], default="redis")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--work", nargs=3, metavar=("KIND", "BROKER", "STORE"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.work is not None:
        kind, *urls = arguments.work
        KINDS[kind](*urls).work()
        return
    with ExitStack() as stack:
        store = stack.enter_context(RedisServer())
        servers, broker = [store.pid], store.url
        if arguments.broker == "rabbitmq":
            rabbit = stack.enter_context(RabbitServer())
            servers, broker = [*servers, rabbit.pid], rabbit.url
        commands = {
            kind: [sys.executable, __file__, "--work", kind, broker, store.url] for kind in KINDS
        }
        bench = Bench(commands, servers, rounds=3 if arguments.quick else 7)
        scale = 5 if arguments.quick else 1
        with bench.workers():
            figures = asyncio.run(measured(bench, broker, store.url, scale=scale))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else report(figures))


if __name__ == "__main__":
    main()
