"""Tasks per second on the embedded default, beside a bare asyncio queue in the same run.

    python benchmarks/embedded.py [--quick] [--json]

Each workload is the same no-op body. `ratio` is the workload's rate over that of the bare queue,
which passes JSON through as many workers and keeps no state: what is left of it is what keeping
the flow costs. `bytes` is the growth of the process's memory per task while the run is kept;
`kept` what is left of it once the runs' time to live is over.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mageflow import Mageflow, Run, Signature, Task, chain, graph, swarm

WORKERS = 100
TTL = 0.5  # seconds that a settled run is kept here


@dataclass(frozen=True)
class Figure:
    name: str
    tasks: int
    per_second: float
    ratio: float
    bytes_per_task: float | None = None
    kept_per_task: float | None = None


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def bare_queue(tasks: int) -> float:
    """Seconds that a queue with JSON in and out takes, with nothing kept."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    done: list[str] = []

    async def noop(x: int) -> int:
        return x

    async def worker() -> None:
        while True:
            message = json.loads(await queue.get())
            done.append(json.dumps(await noop(**message)))
            queue.task_done()

    workers = [asyncio.create_task(worker()) for _ in range(WORKERS)]
    began = time.perf_counter()
    for x in range(tasks):
        queue.put_nowait(json.dumps({"x": x}))
    await queue.join()
    took = time.perf_counter() - began
    for each in workers:
        each.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert len(done) == tasks
    return took


def make_app(**settings: float) -> tuple[Mageflow, Task[..., object, int]]:
    app = Mageflow(backend="asyncio", store="memory://", slots=WORKERS, **settings)

    @app.task
    async def noop(x: int) -> int:
        return x

    return app, noop


def layered(item: Callable[[int], Signature[int]], layers: int, width: int) -> Signature[object]:
    """A graph in which each node waits for two of the layer before."""
    nodes = {f"n{i}": item(i) for i in range(layers * width)}
    edges = {
        f"n{layer * width + i}": [
            f"n{(layer - 1) * width + i}",
            f"n{(layer - 1) * width + (i + 1) % width}",
        ]
        for layer in range(1, layers)
        for i in range(width)
    }
    return graph(nodes, depends_on=edges)


async def all_of(signature: Signature[object], runs: int) -> None:
    started: list[Run[object]] = [await signature.start() for _ in range(runs)]
    for run in started:
        await run.result(timeout=600)


async def one_by_one(signature: Signature[object], runs: int) -> None:
    for _ in range(runs):
        await (await signature.start()).result(timeout=60)


async def measured(name: str, tasks: int, work: Callable[[], Awaitable[None]]) -> Figure:
    """Run in an app of its own, between two measurements of the bare queue."""
    peer = await bare_queue(min(tasks, 20_000))
    gc.collect()
    before = resident()
    began = time.perf_counter()
    await work()
    took = time.perf_counter() - began
    gc.collect()
    grown = resident() - before
    peer += await bare_queue(min(tasks, 20_000))
    rate = tasks / took
    bare = 2 * min(tasks, 20_000) / peer
    return Figure(name, tasks, rate, rate / bare, grown / tasks)


async def workloads(*, quick: bool) -> list[Figure]:
    scale = 10 if quick else 1
    figures: list[Figure] = []
    app, noop = make_app()

    def item(x: int) -> Signature[int]:
        return noop.sign(x=x)

    async with app:
        step = chain(item(1), noop, noop)
        await all_of(step, 100)  # what is imported and cached at first use
        one, chains, graphs = 2_000 // scale, 4_000 // scale, 200 // scale
        figures.append(
            await measured("one task, start to result", one, lambda: one_by_one(item(1), one))
        )
        figures.append(await measured("chains of 3", 3 * chains, lambda: all_of(step, chains)))
        layers = layered(item, layers=10, width=5)
        figures.append(
            await measured("graphs of 50 in 10 levels", 50 * graphs, lambda: all_of(layers, graphs))
        )
        for size, times in ((1_000, 10), (100_000 // scale, 1)):
            wide = swarm([item(x) for x in range(size)], max_concurrency=WORKERS)
            figures.append(
                await measured(
                    f"swarm of {size:,}", size * times, lambda w=wide, n=times: one_by_one(w, n)
                )
            )
    figures.append(await growth(rounds=5, runs=4_000 // scale))
    return figures


async def growth(*, rounds: int, runs: int) -> Figure:
    """Memory that is left of runs whose time to live is over, after the first round of them."""
    app, noop = make_app(result_ttl=TTL)
    began = time.perf_counter()
    async with app:
        kept = 0
        for number in range(rounds):
            await all_of(noop.sign(x=1), runs)
            while await app.find(limit=1):  # noqa: ASYNC110 - nothing tells of a removal
                await asyncio.sleep(TTL / 5)
            gc.collect()
            kept = resident() if number == 0 else kept
        left = resident() - kept
    tasks = (rounds - 1) * runs
    rate = rounds * runs / (time.perf_counter() - began)
    return Figure("runs that have expired", tasks, rate, 0.0, None, left / tasks)


def report(figures: list[Figure]) -> str:
    lines = [
        f"{'':28}{'tasks':>10}{'tasks/s':>11}{'ms/task':>10}{'ratio':>8}{'bytes':>8}{'kept':>7}"
    ]
    for f in figures:
        grown = "" if f.bytes_per_task is None else f"{f.bytes_per_task:.0f}"
        kept = "" if f.kept_per_task is None else f"{f.kept_per_task:.0f}"
        ratio = f"{f.ratio:.2f}" if f.ratio else ""
        lines.append(
            f"{f.name:28}{f.tasks:>10,}{f.per_second:>11,.0f}{1000 / f.per_second:>10.3f}"
            f"{ratio:>8}{grown:>8}{kept:>7}"
        )
    by_name = {f.name: f for f in figures}
    narrow = by_name["swarm of 1,000"].per_second
    widest = [f for f in figures if f.name.startswith("swarm of")][-1]
    lines.append(f"{widest.name}: {widest.per_second / narrow:.2f} x the rate of one of 1,000")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    figures = asyncio.run(workloads(quick=arguments.quick))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else report(figures))


if __name__ == "__main__":
    main()
