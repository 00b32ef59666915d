"""A wire on which no step goes alone that may go with others: those of a run in another namespace
are done before it, in the same call. Claims and reports that follow each other are done in one call
once more; see `joint.py`."""

from __future__ import annotations

import json
from typing import Any

import redis
from simulation import swarm, task

from comparing.joint import Joint
from comparing.lua import OTHER
from mageflow_core.stores.redis.finding import indexes_of
from mageflow_core.stores.redis.keys import Keys
from mageflow_core.stores.redis.plan import plan_of
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.server import Server
from mageflow_core.stores.redis.steps import TOGETHER

Words = tuple[str | float, ...]

RUN = "another"
FLOW = swarm(task("ok-a"), task("ok-b"), max_concurrency=1)
INDEXES = json.dumps(indexes_of(FLOW))
START: Words = ("", "", 0, "", INDEXES, 1, "null", "", "", *plan_of([FLOW]).flat)
# A run from its start to its end. What their scripts say of the arguments.
BEFORE: tuple[tuple[str, Words], ...] = (
    ("create", START),
    ("claim", ("/0", 1, "claim", "worker", 7, 9e15, 1)),
    ("report", ("/0", "claim", 1, "", "done", 0, "null", 0)),
    ("claim", ("/1", 1, "claim", "worker", 7, 9e15, 1)),
    ("report", ("/1", "claim", 1, "", "done", 0, "null", 0)),
)


def accompany(server: Server, client: redis.Redis) -> None:
    """From now on, until the store is closed."""
    original = server.wire.call
    key = Keys(OTHER).run(RUN)
    joint = Joint(client)

    async def call(script: Script, own: str, *given: str | float) -> Any:
        if script.name not in TOGETHER:
            return await original(script, own, *given)
        if script.name in ("create", "confirm"):
            return await beside_another(script, own, *given)
        joint.begin(str(given[1]))
        answer = await beside_another(script, own, *given)
        joint.add((own, script.name, given), answer)
        if len(joint.steps) > 1:
            expected = joint.restore()
            asked, answers = joint.steps, list[Any]()
            while len(answers) < len(asked):
                answers += await several(server, asked[len(answers) :], own)
            joint.compare(answers, expected)
        return answer

    async def beside_another(script: Script, own: str, *given: str | float) -> Any:
        policy = given[0]
        asked = [(key, name, (policy, *arguments)) for name, arguments in BEFORE]
        asked.append((own, script.name, given))
        while asked:
            answers = await several(server, asked, own)
            assert answers
            asked = asked[len(answers) :]
        for left in client.keys(f"{{{OTHER}:*"):
            client.delete(left)
        return answers[-1]

    setattr(server.wire, "call", call)  # noqa: B010 - methods are not assigned to


async def several(server: Server, asked: list[tuple[str, str, Words]], key: str) -> list[Any]:
    words: list[str | float] = []
    for _, name, arguments in asked:
        words += (name, len(arguments), *arguments)
    keys = [each for each, *_ in asked]
    answers: list[Any] = await server.wire.command(
        "EVALSHA", server._steps["several"].sha, len(keys), *keys, *words, key=key
    )
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
