"""Kinds of doing the same work, measured in one run by turns.

Each kind has a worker process of its own; this process is the client of all. They take turns, a
second or so each, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

END = 5.0  # seconds that a worker may take to end
Work = Callable[[], Awaitable[None]]
Side = tuple[str, int, Work]  # kind, tasks, and what has them run


@dataclass
class Cost:
    """Of one kind in one workload: a value for each round."""

    rates: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """ratio: the median over the rounds of the first side's rate over that of the other one in the
    same round; low, high: the quarters. worker, client, server: microseconds of processor time for
    a task, of the two sides."""

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


def processor_time(*pids: int) -> float:
    """Seconds that these processes, and those that they have started, have had so far."""
    parents: dict[int, list[int]] = defaultdict(list)
    spent: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[int(values[1])].append(pid)
        spent[pid] = (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    waiting, total = [*pids], 0.0
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0.0)
        waiting += parents[pid]
    return total


class Bench:
    """workers: the command of each kind's worker. servers: processes that all kinds use."""

    def __init__(self, workers: dict[str, list[str]], servers: Iterable[int], rounds: int) -> None:
        self._commands = workers
        self._servers = tuple(servers)
        self._rounds = rounds
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def workers(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, command in self._commands.items():
                process = subprocess.Popen(command)  # noqa: S603  # the command is ours
                self._workers[name] = process
                stack.callback(_end, process)
            yield

    async def turn(self, cost: Cost, kind: str, tasks: int, work: Work) -> None:
        groups = (self._workers[kind].pid,), self._servers
        before = [processor_time(*pids) for pids in groups]
        own, began = time.process_time(), time.perf_counter()  # last: to look costs this process
        await work()
        cost.rates.append(tasks / (time.perf_counter() - began))
        cost.client.append((time.process_time() - own) / tasks * 1e6)
        spent = [processor_time(*pids) - had for pids, had in zip(groups, before, strict=True)]
        for of, seconds in zip((cost.worker, cost.server), spent, strict=True):
            of.append(seconds / tasks * 1e6)

    async def beside(
        self,
        name: str,
        wanted: float,
        sides: tuple[Side, Side],
        *,
        often: int = 1,
        rounds: int | None = None,
    ) -> Figure:
        """Two kinds by turns, each the first in every other round. often: so many times the rounds,
        for short turns, as a machine that others use may change its speed every second or so.
        rounds: two or more instead of the usual number, for turns that take long."""
        costs = [Cost(), Cost()]
        for number in range((rounds or self._rounds) * often):
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


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:  # not all of them do as they are told
        process.kill()
        process.wait()


def head() -> str:
    """Stands over `line`s."""
    heads = "tasks/s", "peer's", "ratio", "low", "high", "wanted"
    costs = "worker", "client", "server"
    over = "".join(f"{name:>9}" for name in heads) + "".join(f"{name:>13}" for name in costs)
    return " " * 22 + over


def line(f: Figure) -> str:
    numbers = f"{f.per_second:>9,.0f}{f.peer_per_second:>9,.0f}"
    ratios = "".join(f"{ratio:>9.2f}" for ratio in (f.ratio, f.low, f.high, f.wanted))
    spent = "".join(f"{f'{a:.0f}/{b:.0f}':>13}" for a, b in (f.worker, f.client, f.server))
    return f"{f.name:22}{numbers}{ratios}{spent}"


def report(figures: list[Figure]) -> str:
    return "\n".join([head(), *(line(figure) for figure in figures)])
