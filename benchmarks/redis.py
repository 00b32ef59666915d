"""Tasks per second with state in Redis, beside the least that a store there could do, in one run.

    python benchmarks/redis.py [--quick] [--json]

Starts a redis-server of its own on loopback; client and worker are one process on the asyncio
backend, so that all of it is at home on two cores. `ratio` is the workload's rate over that of a
minimal engine: one short Lua call for each end of a task, in pipelines of 100, with nothing else
kept. `cpu` is the server's own time for a task, `calls` and `commands` how many scripts and
commands it was asked for; `bytes` what a task leaves in its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

# This file has the name of the client that it measures, and its folder comes first.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from redis import Redis  # noqa: E402

from mageflow import Mageflow, Run, Signature, chain, swarm  # noqa: E402
from mageflow_conformance.servers.redis import RedisServer  # noqa: E402

SLOTS = 100
TURNS = 5  # of the two swarms, of which the middle ones count
MINIMAL = """
redis.call('HSET', KEYS[1], ARGV[1], 'done')
local left = redis.call('HINCRBY', KEYS[1], 'left', -1)
if left == 0 then redis.call('PUBLISH', KEYS[1], 'ended') end
return left
"""


@dataclass(frozen=True)
class Figure:
    """per_second: of tasks. milliseconds: the middle one of single tasks, start to result."""

    name: str
    tasks: int
    per_second: float
    ratio: float
    cpu_us: float
    calls: float
    commands: float
    bytes: float
    milliseconds: float | None = None


@dataclass
class Count:
    seconds: float = 0.0
    cpu_us: float = 0.0
    calls: float = 0.0
    commands: float = 0.0
    bytes: float = 0.0


@contextmanager
def counted(server: Redis) -> Iterator[Count]:
    """What the server says that it did meanwhile."""
    count = Count()
    server.config_resetstat()
    memory, began = server.info("memory")["used_memory"], time.perf_counter()
    yield count
    count.seconds = time.perf_counter() - began
    commands = server.info("commandstats")
    scripts = commands.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
    count.calls, count.cpu_us = scripts["calls"], scripts["usec"]
    count.commands = sum(each["calls"] for each in commands.values())
    count.bytes = server.info("memory")["used_memory"] - memory


def minimal(server: Redis, tasks: int) -> float:
    """Tasks per second of the minimal engine."""
    sha = server.script_load(MINIMAL)
    server.hset("minimal", "left", str(tasks))
    began = time.perf_counter()
    for first in range(0, tasks, SLOTS):
        pipeline = server.pipeline(transaction=False)
        for number in range(first, first + SLOTS):
            pipeline.evalsha(sha, 1, "minimal", str(number))
        pipeline.execute()
    took = time.perf_counter() - began
    server.delete("minimal")
    return tasks / took


async def all_of(signature: Signature[object], runs: int) -> None:
    started: list[Run[object]] = await asyncio.gather(*(signature.start() for _ in range(runs)))
    await asyncio.gather(*(run.wait(timeout=600) for run in started))


async def measured(
    server: Redis, name: str, tasks: int, work: Callable[[], Awaitable[object]]
) -> Figure:
    peer = minimal(server, 5_000)
    with counted(server) as count:
        await work()
    peer = (peer + minimal(server, 5_000)) / 2
    rate = tasks / count.seconds
    return Figure(
        name,
        tasks,
        rate,
        rate / peer,
        count.cpu_us / tasks,
        count.calls / tasks,
        count.commands / tasks,
        count.bytes / tasks,
    )


async def workloads(url: str, *, quick: bool) -> list[Figure]:
    scale = 5 if quick else 1
    server: Redis = Redis.from_url(url, decode_responses=True)
    app = Mageflow(backend="asyncio", store=url, slots=SLOTS)

    @app.task
    async def step(x: int) -> int:
        return x

    @app.task
    async def item() -> None: ...

    figures: list[Figure] = []
    async with app:
        three = chain(step.sign(x=1), step, step)
        await all_of(three, 20)  # scripts and what is cached at first use
        times: list[float] = []

        async def one_by_one(runs: int) -> None:
            for _ in range(runs):
                began = time.perf_counter()
                await (await item.start()).result(timeout=60)
                times.append(time.perf_counter() - began)

        single = await measured(server, "one task", 500 // scale, lambda: one_by_one(500 // scale))
        middle = statistics.median(times) * 1000
        figures.append(Figure(**{**asdict(single), "milliseconds": middle}))
        for steps, runs in ((3, 1_000 // scale), (10, 300 // scale), (40, 100 // scale)):
            flow = chain(step.sign(x=1), *[step] * (steps - 1))
            figures.append(
                await measured(
                    server, f"chains of {steps}", steps * runs, lambda f=flow, n=runs: all_of(f, n)
                )
            )
        swarms: list[list[Figure]] = [[], []]
        for _ in range(TURNS):  # by turns: a machine is not as fast in every second
            for found, size, runs in zip(swarms, (1_000, 10_000 // scale), (5, 1), strict=True):
                wide = swarm([item.sign()] * size, max_concurrency=SLOTS)
                found.append(
                    await measured(
                        server,
                        f"swarm of {size:,}",
                        size * runs,
                        lambda w=wide, n=runs: one_after(w, n),
                    )
                )
        figures += [sorted(found, key=lambda f: f.per_second)[TURNS // 2] for found in swarms]
    server.close()
    return figures


async def one_after(signature: Signature[object], runs: int) -> None:
    for _ in range(runs):
        await (await signature.start()).wait(timeout=600)


def report(figures: list[Figure]) -> str:
    names = "tasks", "tasks/s", "ratio", "cpu µs", "calls", "commands", "bytes"
    lines = [" " * 18 + "".join(f"{name:>10}" for name in names)]
    lines += [
        f"{f.name:18}{f.tasks:>10,}{f.per_second:>10,.0f}{f.ratio:>10.2f}{f.cpu_us:>10.0f}"
        f"{f.calls:>10.2f}{f.commands:>10.1f}{f.bytes:>10.0f}"
        for f in figures
    ]
    narrow, wide = figures[-2:]
    lines.append(f"{wide.name}: {wide.per_second / narrow.per_second:.2f} x the rate of 1,000")
    lines.append(f"one task, start to result: {figures[0].milliseconds:.2f} ms (median)")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    with RedisServer() as server:
        figures = asyncio.run(workloads(server.url, quick=arguments.quick))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else report(figures))


if __name__ == "__main__":
    main()
