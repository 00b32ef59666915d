"""What the page on Redis says of the server is true of one."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.servers import RedisServer, require_redis

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "how-to" / "redis.md").read_text("utf-8")
FOUND = re.search(r"^ACL SETUSER shop on >PASSWORD ((?:.|\n)*?)```", PAGE, re.MULTILINE)
assert FOUND is not None
RULES = FOUND[1].split()
STORE = ROOT / "mageflow_core" / "src" / "mageflow_core" / "stores" / "redis"
SOURCES = [*STORE.glob("*.py"), *STORE.glob("lua/*.lua")]


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server that lets a user do what the page says, and nobody else anything."""
    require_redis()
    with RedisServer(
        persistence="aof", password="root", users={"shop": ("PASSWORD", " ".join(RULES))}
    ) as server:
        yield server


@pytest.fixture
def as_shop(guarded: RedisServer) -> dict[str, str]:
    return {"MAGEFLOW_STORE": guarded.url_of("shop"), "MAGEFLOW_NAMESPACE": "shop"}


def denied(server: RedisServer) -> list[str]:
    """What users were refused, of all that they have tried."""
    told = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in server.call("ACL", "LOG")]
    return [str(each["object"]) for each in told]


def test_the_user_on_the_page_may_do_all_that_is_needed(
    guarded: RedisServer,
    as_shop: dict[str, str],
    script: Callable[..., Any],
    start_worker: Callable[..., None],
) -> None:
    # When runs are started, steered, waited for, and the server is looked at, all as this user
    for name in ("steering.py", "failures.py", "signatures.py"):
        script(EXAMPLES / name, **as_shop)
    start_worker(**as_shop)
    script(EXAMPLES / "redis" / "web.py", **as_shop, MAGEFLOW_WORKER="false")
    said = json.loads(script("-m", "mageflow", "doctor", "--json", **as_shop).stdout)

    # Then nobody was refused anything
    assert denied(guarded) == []
    details = {check["name"]: check["detail"] for check in said["checks"]}
    assert details["store: signals"] == "what is published is heard"
    assert not [each for each in details.values() if "may not" in each]


def test_the_user_on_the_page_may_do_nothing_elsewhere(guarded: RedisServer) -> None:
    def asked(*command: str) -> str:
        return str(guarded.call("ACL", "DRYRUN", "shop", *command))

    assert asked("HSET", "{shop:0}:r:1", "run", "x") == "OK"
    assert "no permissions" in asked("HSET", "{shoes:0}:r:1", "run", "x")
    assert "no permissions" in asked("PUBLISH", "shoes:control", "x")
    assert "no permissions" in asked("FLUSHALL")
    assert "no permissions" in asked("KEYS", "*")


def test_the_user_on_the_page_may_call_all_that_the_store_calls() -> None:
    texts = [path.read_text("utf-8") for path in SOURCES]
    called = {
        found.lower()
        for text in texts
        for found in re.findall(r"(?:call|command)\(\s*['\"]([A-Z]+)['\"]", text)
    }

    assert {"zadd", "strlen"} < called
    assert called - {rule.removeprefix("+") for rule in RULES} == set()


def test_a_server_that_evicts_is_refused(server: RedisServer, script: Callable[..., Any]) -> None:
    with RedisServer(maxmemory="64mb", maxmemory_policy="allkeys-lru") as evicting:
        tried = (
            "import asyncio, mageflow\n"
            "async def main():\n"
            "    async with mageflow.Mageflow(): pass\n"
            "try: asyncio.run(main())\n"
            "except mageflow.errors.StoreUnsuitable as error: print(error)\n"
        )
        said = script("-c", tried, MAGEFLOW_STORE=evicting.url).stdout

    assert "maxmemory-policy to noeviction" in said
