"""Flows on Taskiq beside plain Taskiq and taskiq-pipelines, in one run.

    python benchmarks/taskiq.py [--quick] [--json]

All of them use Redis streams of one redis-server on the loopback, which also keeps MageFlow's runs
and Taskiq's results. This process is the client; each kind has one worker process, with as many
tasks at the same time. Tasks do nothing. The kinds take turns, a second or so each, so that what
else the machine does meets all of them; `ratio` is the median over the rounds of MageFlow's rate
over that of the peer in the same round, `low` and `high` the quarters. `worker`, `client` and
`server` are microseconds of processor time for a task, MageFlow's and the peer's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

# This file has the name of what it measures, and its folder comes first.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import taskiq_pipelines  # noqa: E402
from taskiq import AsyncBroker, AsyncTaskiqTask  # noqa: E402
from taskiq.cli.common_args import LogLevel  # noqa: E402
from taskiq.cli.worker.args import WorkerArgs  # noqa: E402
from taskiq.cli.worker.run import start_listen  # noqa: E402
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # noqa: E402

from mageflow import Mageflow, Run, Signature, Task, chain, swarm  # noqa: E402
from mageflow_conformance.servers.redis import RedisServer  # noqa: E402

SLOTS = 100
WITHIN = 600  # seconds that anything may take
T = TypeVar("T")
R = TypeVar("R")


# --- the three kinds: each an app with the same tasks -------------------------------------------
class Flows:
    """MageFlow on Taskiq."""

    def __init__(self, url: str) -> None:
        self.app = Mageflow(
            backend="taskiq", store=url, slots=SLOTS, taskiq={"url": url}, warn_unclosed=False
        )

        @self.app.task
        async def step(x: int) -> int:
            return x

        @self.app.task
        async def item() -> None: ...

        self.step: Task[Any, Any, int] = step
        self.item: Task[Any, Any, None] = item

    def work(self) -> None:
        asyncio.run(self.app.serve())

    async def single(self, count: int) -> None:
        await self._all_of(self.step.sign(x=1), count)

    async def chains(self, count: int) -> None:
        await self._all_of(chain(self.step.sign(x=1), self.step, self.step), count)

    async def fan_out(self, width: int, *, then: bool = True) -> None:
        callbacks = [self.item] if then else []
        wide = swarm([self.item] * width, max_concurrency=SLOTS, success_callbacks=callbacks)
        run = await wide.start()
        await run.settled(timeout=WITHIN)

    async def _all_of(self, signature: Signature[Any], count: int) -> None:
        runs: list[Run[Any]] = await asyncio.gather(*(signature.start() for _ in range(count)))
        await asyncio.gather(*(run.result(timeout=WITHIN) for run in runs))


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


KINDS: dict[str, Callable[[str], Flows | Plain]] = {
    "mageflow": Flows,
    "plain": lambda url: Plain(url, pipelines=False),
    "pipelines": lambda url: Plain(url, pipelines=True),
}


# --- what is measured -----------------------------------------------------------------------------
@dataclass
class Cost:
    """Of one kind in one workload: a value for each round."""

    rates: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    name: str
    peer: str
    tasks: int
    per_second: float
    peer_per_second: float
    ratio: float
    low: float
    high: float
    wanted: float
    worker: tuple[float, float]
    client: tuple[float, float]
    server: tuple[float, float]


def processor_time(pid: int) -> float:
    """Seconds that a process has had so far."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, server: RedisServer, rounds: int) -> None:
        self._server = server
        self._rounds = rounds
        self.kinds = {name: make(server.url) for name, make in KINDS.items()}
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def workers(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in KINDS:
                command = [sys.executable, __file__, "--work", name, self._server.url]
                process = subprocess.Popen(command)  # noqa: S603  # the command is ours
                self._workers[name] = process
                stack.callback(process.wait)
                stack.callback(process.kill)
            yield

    async def turn(
        self, cost: Cost, kind: str, tasks: int, work: Callable[[], Awaitable[None]]
    ) -> None:
        pids = self._workers[kind].pid, os.getpid(), self._server.pid
        before, began = [processor_time(pid) for pid in pids], time.perf_counter()
        await work()
        cost.rates.append(tasks / (time.perf_counter() - began))
        spent = [processor_time(pid) - had for pid, had in zip(pids, before, strict=True)]
        for of, seconds in zip((cost.worker, cost.client, cost.server), spent, strict=True):
            of.append(seconds / tasks * 1e6)

    async def beside(
        self, name: str, wanted: float, sides: list[tuple[str, int, Callable[[], Awaitable[None]]]]
    ) -> Figure:
        """Two kinds by turns, each the first in every other round."""
        costs = [Cost(), Cost()]
        for number in range(self._rounds):
            for side in (0, 1) if number % 2 else (1, 0):
                kind, tasks, work = sides[side]
                await self.turn(costs[side], kind, tasks, work)
        mine, other = costs
        ratios = [a / b for a, b in zip(mine.rates, other.rates, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        of = statistics.median
        return Figure(
            name=name,
            peer=sides[1][0],
            tasks=sides[0][1],
            per_second=of(mine.rates),
            peer_per_second=of(other.rates),
            ratio=middle,
            low=low,
            high=high,
            wanted=wanted,
            worker=(of(mine.worker), of(other.worker)),
            client=(of(mine.client), of(other.client)),
            server=(of(mine.server), of(other.server)),
        )

    async def run(self, *, scale: int) -> list[Figure]:
        flows, plain, pipelines = self.kinds.values()
        assert isinstance(flows, Flows)
        assert isinstance(plain, Plain)
        assert isinstance(pipelines, Plain)
        single, chains, wide, wider = 1_000 // scale, 300 // scale, 1_000, 10_000 // scale
        async with flows.app:
            for peer in (plain, pipelines):
                await peer.broker.startup()
            for kind in (flows, plain, pipelines):  # what is made at first use
                await kind.single(100)
                await kind.chains(20) if kind is not plain else None
            figures = [
                await self.beside(
                    "independent tasks",
                    0.85,
                    [
                        ("mageflow", single, lambda: flows.single(single)),
                        ("plain", single, lambda: plain.single(single)),
                    ],
                ),
                await self.beside(
                    "chains of 3",
                    1.05,
                    [
                        ("mageflow", 3 * chains, lambda: flows.chains(chains)),
                        ("pipelines", 3 * chains, lambda: pipelines.chains(chains)),
                    ],
                ),
                await self.beside(
                    f"{wide:,} and a callback",
                    1.8,
                    [
                        ("mageflow", wide, lambda: flows.fan_out(wide)),
                        ("pipelines", wide, lambda: pipelines.fan_out(wide)),
                    ],
                ),
                await self.beside(
                    f"{wider:,} beside {wide:,}",
                    0.9,
                    [
                        ("mageflow", wider, lambda: flows.fan_out(wider, then=False)),
                        ("mageflow", wide, lambda: flows.fan_out(wide, then=False)),
                    ],
                ),
            ]
            for peer in (plain, pipelines):
                await peer.broker.shutdown()
        return figures


def report(figures: list[Figure]) -> str:
    heads = "tasks/s", "peer's", "ratio", "low", "high", "wanted"
    costs = "worker", "client", "server"
    lines = [" " * 22 + "".join(f"{head:>9}" for head in heads + costs)]
    for f in figures:
        numbers = f"{f.per_second:>9,.0f}{f.peer_per_second:>9,.0f}"
        ratios = "".join(f"{ratio:>9.2f}" for ratio in (f.ratio, f.low, f.high, f.wanted))
        spent = "".join(f"{f'{a:.0f}/{b:.0f}':>9}" for a, b in (f.worker, f.client, f.server))
        lines.append(f"{f.name:22}{numbers}{ratios}{spent}")
    return "\n".join(lines)


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
        bench = Bench(server, rounds=3 if arguments.quick else 7)
        with bench.workers():
            figures = asyncio.run(bench.run(scale=5 if arguments.quick else 1))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else report(figures))


if __name__ == "__main__":
    main()
