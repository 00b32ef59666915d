"""What is kept in Redis is what the page on stores says: all of it, and no more."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mageflow import Mageflow, chain, graph, swarm
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core.errors import TaskFailed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "stores.md").read_text("utf-8")
LUA = ROOT / "mageflow_core" / "src" / "mageflow_core" / "stores" / "redis" / "lua"
PASSING = {"t:<run>:<token>", "x:<run>", "lost"}  # there for as long as a large run is sent
SHAPES = {
    "run": r"[0-9a-z]{20,}",
    "path": r"(?:[/~][^ .]*|\$)?",
    "id": r"\d+\.\d+",
    "add id": r"\S+",
    "name": r".+",
    "status": r"[a-z]+",
    "task": r"[a-z_.-]+",
    "label": r"[^\"]+",
    "value": r".*",
    "generation": r"\d+",
    "number": r"\d+",
    "token": r"[0-9a-f]+",
}


def rows(heading: str) -> list[str]:
    """What stands in code in the first cells of a section's tables."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


KEYS, FIELDS = set(rows("The keys")), set(rows("A run"))


def pattern(shown: str) -> re.Pattern[str]:
    parts = re.split(r"(<[^>]+>)", shown)
    return re.compile(
        "".join(SHAPES[p[1:-1]] if p.startswith("<") else re.escape(p) for p in parts)
    )


def matched(found: Iterable[str], shown: Iterable[str]) -> tuple[set[str], set[str]]:
    """What has come up of what is shown, and what came up besides."""
    patterns = {each: pattern(each) for each in shown}
    seen, strange = set(), set()
    for name in found:
        fitting = [each for each, shape in patterns.items() if shape.fullmatch(name)]
        seen.update(fitting[:1])
        strange.update([] if fitting else [name])
    return seen, strange


@asynccontextmanager
async def filled(url: str, namespace: str) -> AsyncIterator[None]:
    """Have a bit of everything stored."""
    mf = Mageflow(store=url, namespace=namespace)
    runs, may_end = asyncio.Event(), asyncio.Event()

    @mf.task
    async def give(size: int) -> str:
        return "x" * size

    @mf.task
    async def fail(size: int) -> None:
        raise ValueError(size)

    @mf.task
    async def hold(size: int) -> None:
        runs.set()
        await may_end.wait()

    async with mf:
        flow = graph({"one": give, "two": give.sign(size=2)}, {"two": ["one"]})
        await flow.named("both").label(kind="test").run({"size": 1}, timeout=10)
        with pytest.raises(TaskFailed):
            await fail.sign().run({"size": 0}, timeout=10)
        await give.sign().run({"size": 100_000}, timeout=10)
        crawl = await swarm(give.sign(size=1), open=True).start()
        (added,) = await crawl.add(give.sign(size=3))
        await added.wait(timeout=10)
        running = await chain(hold, give).start({"size": 1})
        await runs.wait()
        await running.suspend()
        may_end.set()
        await running[0].wait(timeout=10)
        runs.clear()
        may_end.clear()
        await hold.start({"size": 1})
        await runs.wait()
        yield
        may_end.set()


def keys_of(server: RedisServer, namespace: str) -> dict[str, str]:
    """What a namespace has: key → type."""
    keys = server.call("KEYS", f"{{{namespace}:*")
    return {key: server.call("TYPE", key).replace("zset", "sorted set") for key in keys}


async def test_all_keys_and_fields_are_on_the_page(server: RedisServer, namespace: str) -> None:
    # Given a namespace that has a bit of everything, as it runs
    async with filled(server.url, namespace):
        await eventually(
            lambda: server.call("KEYS", f"{{{namespace}:*}}:p:*"), about="a parked job"
        )
        found = keys_of(server, namespace)
        runs = [key for key in found if re.search(r"}:r:", key)]
        fields = [field for key in runs for field in server.call("HKEYS", key)]

    # Then what is there is on the page, and what is on the page is there
    ours = [key.partition("}:")[2] for key in found]
    seen, strange = matched(ours, KEYS)
    assert strange == set()
    assert seen == KEYS - PASSING
    seen, strange = matched(fields, FIELDS)
    assert strange == set()
    assert seen == FIELDS


def test_what_is_not_on_the_page_would_be_found() -> None:
    assert matched(["i:x:1", "z:00000000000000000000"], KEYS)[1] == {
        "i:x:1",
        "z:00000000000000000000",
    }
    assert matched(["n/0", "z/0"], FIELDS) == ({"n<path>"}, {"z/0"})


def test_all_kinds_of_what_is_due_are_on_the_page() -> None:
    handled = re.findall(
        r"^function HANDLERS\.(\w+)", (LUA / "fire.lua").read_text("utf-8"), re.MULTILINE
    )
    (sentence,) = re.findall(r"the kinds are (.*?)\.", PAGE, re.DOTALL)

    assert handled
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(handled)


def test_the_readme_of_the_scripts_names_all_files() -> None:
    named = re.findall(r"^\|.*", (LUA / "README.md").read_text("utf-8"), re.MULTILINE)

    found = re.findall(r"`(\w+)`", "\n".join(named))
    assert sorted(found) == sorted(path.stem for path in LUA.glob("*.lua"))


def test_the_page_is_short() -> None:
    assert len(PAGE.splitlines()) <= 150
