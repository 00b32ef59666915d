"""Flows on Taskiq beside plain Taskiq and taskiq-pipelines, in one run.

    python benchmarks/taskiq.py [--quick] [--json]

All of them use Redis streams of one redis-server on the loopback, which also keeps MageFlow's runs
and Taskiq's results. This process is the client; each kind has one worker process, with as many
tasks at the same time. Tasks do nothing. For what the columns say see `side_by_side`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

# This file has the name of what it measures, and its folder would come first.
HERE = Path(__file__).resolve().parent
sys.path = [*(path for path in sys.path if Path(path).resolve() != HERE), str(HERE)]

import taskiq_pipelines  # noqa: E402
from side_by_side import Bench, Figure, report  # noqa: E402
from side_by_side.flows import SLOTS, WITHIN, Flows  # noqa: E402
from taskiq import AsyncBroker, AsyncTaskiqTask  # noqa: E402
from taskiq.cli.common_args import LogLevel  # noqa: E402
from taskiq.cli.worker.args import WorkerArgs  # noqa: E402
from taskiq.cli.worker.run import start_listen  # noqa: E402
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # noqa: E402

from mageflow_conformance.servers.redis import RedisServer  # noqa: E402

T = TypeVar("T")
R = TypeVar("R")


class Plain:
    """Taskiq as its documentation shows it, with taskiq-pipelines or without."""

    def __init__(self, url: str, *, pipelines: bool) -> None:
        name = "pipelines" if pipelines else "plain"
        broker: AsyncBroker = RedisStreamBroker(url, queue_name=name, consumer_group_name=name)
        broker = broker.with_result_backend(RedisAsyncResultBackend(url))
        if pipelines:
            broker = broker.with_middlewares(taskiq_pipelines.PipelineMiddleware())
        self.broker = broker

        @broker.task(task_name="step")
        async def step(x: int) -> int:
            return x

        @broker.task(task_name="item")
        async def item(x: int) -> None: ...

        @broker.task(task_name="numbers")
        async def numbers(width: int) -> list[int]:
            return list(range(width))

        @broker.task(task_name="done")
        async def done(items: list[None]) -> None: ...

        self.step, self.item, self.numbers, self.done = step, item, numbers, done

    def work(self) -> None:
        # Taskiq's own command does this in each of its processes.
        args: Any = {"broker": self.broker, "modules": [], "max_async_tasks": SLOTS}
        start_listen(WorkerArgs(**args, configure_logging=False, log_level=LogLevel.WARNING))

    async def single(self, count: int) -> None:
        tasks = await by_lots(lambda _: self.step.kiq(1), range(count))
        await by_lots(lambda task: task.wait_result(timeout=WITHIN), tasks)

    async def chains(self, count: int) -> None:
        def kicked(_: int) -> Awaitable[AsyncTaskiqTask[int]]:
            pipeline = taskiq_pipelines.Pipeline(self.broker, self.step)
            return pipeline.call_next(self.step).call_next(self.step).kiq(1)

        tasks = await by_lots(kicked, range(count))
        await by_lots(lambda task: task.wait_result(timeout=WITHIN), tasks)

    async def fan_out(self, width: int) -> None:
        pipeline = taskiq_pipelines.Pipeline(self.broker, self.numbers)
        task = await pipeline.map(self.item).call_next(self.done).kiq(width)
        await task.wait_result(timeout=WITHIN)


async def by_lots(call: Callable[[T], Awaitable[R]], values: Iterable[T]) -> list[R]:
    """Some at the same time: for each of these Taskiq opens a connection."""
    results: list[R] = []
    left = iter(values)
    while lot := list(islice(left, SLOTS)):
        results += await asyncio.gather(*(call(each) for each in lot))
    return results


def flows_on(url: str) -> Flows:
    return Flows(backend="taskiq", store=url, taskiq={"url": url})


KINDS: dict[str, Callable[[str], Flows | Plain]] = {
    "mageflow": flows_on,
    "plain": lambda url: Plain(url, pipelines=False),
    "pipelines": lambda url: Plain(url, pipelines=True),
}


async def measured(bench: Bench, url: str, *, scale: int) -> list[Figure]:
    flows, plain, pipelines = flows_on(url), *(Plain(url, pipelines=each) for each in (False, True))
    single, chains, wide, wider = 1_000 // scale, 300 // scale, 1_000, 10_000 // scale
    async with flows.app:
        for peer in (plain, pipelines):
            await peer.broker.startup()
        for kind in (flows, plain, pipelines):  # what is made at first use
            await kind.single(100)
            await kind.chains(20) if kind is not plain else None
        figures = [
            await bench.beside(
                "independent tasks",
                0.85,
                (
                    ("mageflow", single, lambda: flows.single(single)),
                    ("plain", single, lambda: plain.single(single)),
                ),
            ),
            await bench.beside(
                "chains of 3",
                1.05,
                (
                    ("mageflow", 3 * chains, lambda: flows.chains(chains)),
                    ("pipelines", 3 * chains, lambda: pipelines.chains(chains)),
                ),
            ),
            await bench.beside(
                f"{wide:,} and a callback",
                1.8,
                (
                    ("mageflow", wide, lambda: flows.fan_out(wide)),
                    ("pipelines", wide, lambda: pipelines.fan_out(wide)),
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
        for peer in (plain, pipelines):
            await peer.broker.shutdown()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--work", nargs=2, metavar=("KIND", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        kind, url = arguments.work
        KINDS[kind](url).work()
        return
    with RedisServer() as server:
        commands = {kind: [sys.executable, __file__, "--work", kind, server.url] for kind in KINDS}
        bench = Bench(commands, [server.pid], rounds=3 if arguments.quick else 7)
        with bench.workers():
            figures = asyncio.run(measured(bench, server.url, scale=5 if arguments.quick else 1))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else report(figures))


if __name__ == "__main__":
    main()
