"""Claims and reports that came one after the other, once more in one call: what they find and what
they change must be the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from comparing.answers import equal
from comparing.lua import DUMP
from mageflow_core.stores.redis.records import unpacked

MOST = 6  # steps, which grow with each
Step = tuple[str, str, tuple[str | float, ...]]  # key, name, what is given


class Joint:
    """steps: those since `before`, nothing else has been written there."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._dump = client.register_script(DUMP)
        self._before: dict[Any, Any] = {}
        self._told: list[Any] = []
        self._after = -1  # changes
        self._clock: Any = None
        self.steps: list[Step] = []
        self.answers: list[Any] = []

    def begin(self, path: str) -> None:
        """Before a step. No job can be claimed that is sent after the call."""
        clock = self._client.get("clock")
        follows = self._changes() == self._after and clock == self._clock
        sent = {job[0] for _, jobs in self._reported() for job in jobs}
        if not follows or path in sent or len(self.steps) == MOST:
            self.steps, self.answers = [], []
            self._clock = clock
            self._before = {key: self._client.dump(key) for key in self._client.keys("*")}

    def _reported(self) -> list[Any]:
        pairs = zip(self.steps, self.answers, strict=True)
        return [answer for (_, name, _), answer in pairs if name == "report"]

    def add(self, step: Step, answer: Any) -> None:
        """What has been done since, by itself."""
        self.steps.append(step)
        self.answers.append(answer)
        self._after = self._changes()

    def restore(self) -> Mapping[str, Any]:
        """As it was before, at once: somebody may wait. Gives what there was in the end."""
        found = self._contents()
        self._told = self._client.lrange("told", 0, -1)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.flushdb()
        for key, value in self._before.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()
        return found

    def compare(self, answers: list[Any], expected: Mapping[str, Any]) -> None:
        equal(answers, self.answers, f"answers of {self.steps} together")
        equal(self._contents(), expected, f"after {self.steps} together")
        self._client.delete("told")  # fewer may be told of more, which is compared by itself
        if self._told:
            self._client.rpush("told", *self._told)
        self._after = self._changes()

    def _changes(self) -> int:
        counted: int = self._client.info("persistence")["rdb_changes_since_last_save"]
        return counted

    def _contents(self) -> dict[str, Any]:
        found = {}
        for key, kind, value in self._dump():
            if key == b"told":
                continue
            found[key.decode()] = sorted(value) if kind == b"set" else value
            if kind == b"hash":
                pairs = zip(value[::2], value[1::2], strict=True)
                found[key.decode()] = {name: _plain(name, text) for name, text in pairs}
        return found


def _plain(name: bytes, text: bytes) -> Any:
    """The order of a record's fields does not count."""
    if name == b"run" or name[:1] in b"nh":
        return unpacked(text.decode("utf-8", "surrogateescape"))
    return text
