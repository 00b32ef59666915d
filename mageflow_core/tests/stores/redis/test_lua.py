"""The steps as scripts: they compile, use nothing that is not theirs, and never grow too wide."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comparing.lua import CLOCK
from handles import Handle, Stores
from simulation import chain, graph, swarm, task

import mageflow_core.stores.redis as package
from mageflow_conformance.servers import RedisServer
from mageflow_core.machine import Verb
from mageflow_core.stores.redis.scripts import Script, compose
from mageflow_core.stores.redis.steps import LAZY, PARTS, Steps

LUA = Path(package.__path__[0]) / "lua"
FILES = {path.stem: path.read_text("utf-8") for path in sorted(LUA.glob("*.lua"))}
STEPS = {script.name: script for script in Steps()}

WIDEST = 500  # records that a step may write

WORDS = {
    *("and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in"),
    *("local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while"),
}
GIVEN = {
    *("KEYS", "ARGV", "redis", "cjson", "cmsgpack", "string", "table", "math", "ipairs", "pairs"),
    *("tonumber", "tostring", "type", "unpack", "setmetatable", "rawget", "pcall"),
}
TEXT = re.compile(r"""--[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\"""")
ASSIGNED = re.compile(r" *([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*) = ")
NAME = re.compile(r"(?<![.\w:])[A-Za-z_]\w*")


# --- files --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FILES)
def test_a_file_says_at_its_top_what_it_is_for(name: str) -> None:
    first = FILES[name].splitlines()[0]
    assert re.match(r"-- [A-Z].*", first), first


@pytest.mark.parametrize("name", FILES)
def test_lines_are_no_longer_than_those_of_the_rest_and_end_alike(name: str) -> None:
    lines = FILES[name].split("\n")
    assert [line for line in lines if len(line) > 100] == []
    assert [line for line in lines if line != line.rstrip()] == []
    assert "\t" not in FILES[name]
    assert FILES[name].endswith("\n")
    assert not FILES[name].endswith("\n\n")


def test_every_file_is_part_of_some_step_and_no_step_wants_another() -> None:
    assert {part for parts in PARTS.values() for part in parts} == set(FILES)


def test_what_is_filled_late_is_a_file_too() -> None:
    assert set(LAZY) < set(FILES)


def test_every_step_ends_with_the_file_of_its_name() -> None:
    assert {name: parts[-1] for name, parts in PARTS.items()} == {name: name for name in PARTS}


def test_the_files_are_listed_where_they_are_explained() -> None:
    listed = set(re.findall(r"`(\w+)`", (LUA / "README.md").read_text("utf-8")))
    assert set(FILES) <= listed


# --- scripts ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", STEPS)
def test_a_server_takes_every_script(server: RedisServer, name: str) -> None:
    assert server.call("SCRIPT", "LOAD", STEPS[name].text) == STEPS[name].sha


def names_in(script: Script) -> Iterator[tuple[int, str, str]]:
    """Line, name and what stands behind it, of all that is no word of the language's, no text, no
    comment, and no field of something."""
    text = TEXT.sub(lambda found: " " * len(found[0]), script.text)
    for found in NAME.finditer(text):
        if found[0] not in WORDS:
            line = text.count("\n", 0, found.start()) + 1
            yield line, found[0], text[found.end() : found.end() + 3].strip()


def declared_in(script: Script) -> dict[str, int]:
    """Names and the first lines on which they are declared: locals, loops' and functions'."""
    found: dict[str, int] = {}
    patterns = [
        r"\blocal function (\w+)",
        r"\blocal ([\w, ]+)",
        r"\bfor ([\w, ]+?) (?:in|=)",
        r"\bfor (\w+) ?=",
        r"\bfunction ?[\w.:]*\(([\w, ]*)\)",
    ]
    for number, line in enumerate(script.text.splitlines(), 1):
        code = TEXT.sub("", line)
        for pattern in patterns:
            for names in re.findall(pattern, code):
                for name in re.split(r"[ ,]+", names.strip()):
                    found.setdefault(name, number)
    return found


def undeclared_in(script: Script) -> list[str]:
    """Where a name is used that no line up to there declares."""
    declared = declared_in(script)
    return [
        script.explain(f"user_script:{line}: {used}")
        for line, used, behind in names_in(script)
        if used not in GIVEN
        and declared.get(used, line + 1) > line
        and not re.match(r"=(?!=)", behind)  # the name of a field in a table, or an assignment
    ]


@pytest.mark.parametrize("name", STEPS)
def test_a_script_uses_only_what_was_declared_before(name: str) -> None:
    assert undeclared_in(STEPS[name]) == []


def test_a_file_that_is_missing_or_comes_too_late_would_be_noticed() -> None:
    parts = list(PARTS["claim"])
    parts.remove("parking")
    for wrong in (parts, [*parts[:-1], "claim", "parking"]):
        script = compose("claim", wrong, lazy=LAZY)
        assert any(found.endswith(": parking") for found in undeclared_in(script))


@pytest.mark.parametrize("name", STEPS)
def test_a_script_assigns_to_no_name_that_it_has_not_declared(name: str) -> None:
    script = STEPS[name]
    declared = declared_in(script)
    depth, strange = 0, []
    for line in TEXT.sub("", script.text).splitlines():
        if depth == 0 and (found := ASSIGNED.match(line)):
            strange += [each for each in found[1].split(", ") if each not in declared]
        depth += line.count("{") - line.count("}")  # in there they are names of fields
    assert depth == 0
    assert strange == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("strange = 1", "readonly table|global variable"),
        ("function strange() end", "readonly table|global variable"),
        ("return strange", "nonexistent global variable 'strange'"),
    ],
)
def test_a_server_refuses_what_is_no_local_but_only_when_it_comes_to_it(
    server: RedisServer, text: str, why: str
) -> None:
    with pytest.raises(Exception, match=why):
        server.call("EVAL", text, "0")
    assert server.call("EVAL", f"if KEYS[1] then {text} end return 1", "0") == 1


# --- filled late --------------------------------------------------------------------------------
def run_lazily(server: RedisServer, part: str, main: str) -> Any:
    script = compose(
        "x",
        ["lazy", "part", "main"],
        instead={"part": part, "main": main},
        lazy={"part": "part"},
    )
    return server.call("EVAL", script.text, "1", "counted")


FILLED = (
    "redis.call('INCR', KEYS[1])\nfunction part.a() return 1 end\nfunction part.b() return 2 end"
)


@pytest.mark.parametrize(
    ("main", "answer", "filled"),
    [
        ("return 0", 0, None),
        ("return part.a()", 1, "1"),
        ("return part.a() + part.b() + part.a()", 4, "1"),
        ("return part.nothing == nil and part.nothing == nil and 5", 5, "1"),
        ("return (function() return part.b() end)()", 2, "1"),
    ],
)
def test_a_table_is_filled_when_something_is_asked_of_it_and_once(
    server: RedisServer, main: str, answer: int, filled: str | None
) -> None:
    assert run_lazily(server, FILLED, main) == answer
    assert server.call("GET", "counted") == filled


@pytest.mark.parametrize("part", LAZY)
def test_what_is_filled_late_only_fills_its_table(part: str) -> None:
    text = "\n".join(line for line in FILES[part].splitlines() if not line.startswith("--"))
    begins = re.findall(r"^(?! |end\b|\}|\)|$)(.*)$", text, re.MULTILINE)
    table = LAZY[part]
    made = rf"(anew\(|local function \w+\(|local \w+ = |function {table}\.\w+\(|{table}\.\w+ = )"
    assert [line for line in begins if not re.match(made, line)] == []


def test_only_what_a_step_needs_is_filled(server: RedisServer) -> None:
    # Given: a claim of a plain task, the most frequent step but one
    parts = [part for part in PARTS["claim"] if part in LAZY]
    instead = {part: f"redis.call('SADD', 'filled', '{part}')\n{FILES[part]}" for part in parts}
    script = compose("claim", PARTS["claim"], instead=instead, lazy=LAZY)
    # When
    arguments = ["{}", "", "1", "c", "w", "1", "0", "1000"]
    assert server.call("EVAL", script.text, "1", "{ns:29}:r:r", *arguments) == [
        "skip",
        "no such run",
    ]
    # Then
    assert server.call("SMEMBERS", "filled") == []


# --- how wide -----------------------------------------------------------------------------------
COUNTED = """
local save = draft.save
function draft.save()
  local count = 0
  for _ in pairs(draft.changed) do count = count + 1 end
  redis.call('RPUSH', 'widths', count)
  save()
end
"""


@pytest.fixture
async def wide(stores: Stores) -> Handle:
    store = await stores.open_at()
    steps = Steps({"clock": CLOCK, "draft": FILES["draft"] + COUNTED})
    store.store._steps = store.store.server._steps = steps
    return store


async def widths(store: Handle) -> list[int]:
    """Records that each step has written since this was last asked."""
    found = [int(count) for count in await store.ask("LRANGE", "widths", 0, -1)]
    await store.ask("DEL", "widths")
    return found


async def all_jobs(store: Handle) -> list[str]:
    """Keys of all jobs that come until nothing is due any more."""
    jobs = store.ear.take()
    while await store.scores("r", "due"):
        jobs += await store.look()
    return [job.key for job in jobs]


SIZE = 1_700
HUB = {"hub": task("ok-hub"), **{f"n{n}": task("ok-n") for n in range(SIZE)}}


@pytest.mark.parametrize(
    "signature",
    [
        swarm(*[task("ok-a")] * SIZE, max_concurrency=None),
        graph({f"n{n}": task("ok-n") for n in range(SIZE)}),
        swarm(*[chain(task("ok-a"))] * SIZE, max_concurrency=None),
    ],
    ids=["swarm", "graph", "chains"],
)
async def test_what_begins_at_once_begins_in_steps_of_bounded_width(
    wide: Handle, signature: Any
) -> None:
    # When
    await wide.create(signature)
    jobs = await all_jobs(wide)
    # Then
    assert len(set(jobs)) == len(jobs) == SIZE
    counts = await widths(wide)
    assert max(counts) <= WIDEST
    assert sum(counts) >= SIZE


async def test_what_waits_for_one_is_told_in_steps_of_bounded_width(wide: Handle) -> None:
    # Given
    await wide.create(graph(HUB, {name: ("hub",) for name in HUB if name != "hub"}))
    assert await all_jobs(wide) == ["r/hub"]
    await widths(wide)
    # When
    await wide.run("r/hub")
    # Then
    assert len(await all_jobs(wide)) == SIZE
    assert max(await widths(wide)) <= WIDEST


async def test_what_is_parked_is_sent_again_in_steps_of_bounded_width(wide: Handle) -> None:
    # Given
    await wide.create(swarm(*[task("ok-a")] * SIZE, max_concurrency=None))
    jobs = await all_jobs(wide)
    await wide.steer("r", Verb.SUSPEND)
    await asyncio.gather(*map(wide.claim, jobs))
    await widths(wide)
    # When
    await wide.steer("r", Verb.RESUME)
    # Then
    assert await all_jobs(wide) == jobs
    counts = await widths(wide)
    assert max(counts) <= WIDEST
    assert sum(counts) >= SIZE


async def test_the_end_of_one_of_many_writes_a_few_records(wide: Handle) -> None:
    # Given
    await wide.create(swarm(*[task("ok-a")] * SIZE, max_concurrency=5))
    work = await wide.begin("r/3")
    await widths(wide)
    # When
    await wide.done(work)
    # Then
    assert await widths(wide) == [3]  # it, its swarm, and the next


async def test_a_mark_writes_one_record(wide: Handle) -> None:
    # Given
    await wide.create(swarm(*[swarm(*[task("ok-a")] * 300, max_concurrency=None)] * 3))
    assert len(await all_jobs(wide)) == 900
    await widths(wide)
    # When
    for verb in (Verb.SUSPEND, Verb.INTERRUPT, Verb.RESUME, Verb.CANCEL):
        await wide.steer("r", verb)
    # Then
    assert await widths(wide) == [1, 1, 1, 1]
