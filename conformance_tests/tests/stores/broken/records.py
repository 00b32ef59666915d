"""Broken in what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Concatenate, ParamSpec, Self, TypeVar

from mageflow_core.machine import Done, Draft, Report, Steer, Steered, TimerKind
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.protocol import Created, NewRun, StoreOptions

P = ParamSpec("P")
A = TypeVar("A")

LONGEST = 64 * 1024


class ChangesValues(MemoryStore):
    """Has its own way with messages and results."""

    def changed(self, text: str) -> str:
        raise NotImplementedError

    async def create(self, new: NewRun) -> Created:
        if new.message is not None:
            new = replace(new, message=self.changed(new.message))
        return await super().create(new)

    async def report(self, run_id: str, message: Report) -> str | None:
        if isinstance(message.outcome, Done):
            message.outcome.value = self.changed(message.outcome.value)
        return await super().report(run_id, message)


class Truncates(ChangesValues):
    """Keeps the first 64 KB."""

    def changed(self, text: str) -> str:
        return text if len(text) <= LONGEST else json.dumps(text[: LONGEST - 2])


class Decodes(ChangesValues):
    """Reads and writes values as a library would whose numbers are floats."""

    def changed(self, text: str) -> str:
        return json.dumps(json.loads(text, parse_int=float), separators=(",", ":"))


class LeaksNamespaces(MemoryStore):
    """Is one for all namespaces."""

    one: MemoryStore

    @classmethod
    def from_url(cls, url: str, /, options: StoreOptions) -> Self:
        made = super().from_url(url, options)
        if not hasattr(cls, "one"):
            cls.one = made
        made.runs, made.order, made.live = cls.one.runs, cls.one.order, cls.one.live
        return made


class SteersTwice(MemoryStore):
    """Does what it is asked each time that it is asked."""

    async def steer(self, run_id: str, request: Steer) -> Steered:
        state = self.runs.get(run_id)
        node = state.node(request.path) if state is not None else None
        if node is not None:
            node.last_request = None
        return await super().steer(run_id, request)


class HasNoGrace(MemoryStore):
    """Waits for the bodies of what was canceled for ever."""

    def step(
        self,
        run_id: str,
        function: Callable[Concatenate[Draft, P], A],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        kind: TimerKind = "grace"
        if args and args[0] == kind:
            return None  # type: ignore[return-value]
        return super().step(run_id, function, *args, **kwargs)


class LeavesBehind(MemoryStore):
    """Removes a run, and not what belongs to it."""

    def _remove(self, run_id: str, state: RunState) -> None:
        sent = {path: self.outbox.sent_at(run_id + path) for path in state.nodes}
        jobs = [path for path, at in sent.items() if at is not None]
        state.nodes = {path: node for path, node in state.nodes.items() if path not in jobs}
        super()._remove(run_id, state)


class ExpiresTooMuch(MemoryStore):
    """Removes runs by the time that they were made, ended or not."""

    async def work(self) -> float | None:
        for run_id, state in list(self.runs.items()):
            if state.run.created_at + self.policy.result_ttl < self.clock.now():
                self._remove(run_id, state)
        return await super().work()


RECORDS: dict[type[MemoryStore], tuple[str, ...]] = {
    Truncates: ("S-VALUE-04", "S-VALUE-08"),
    Decodes: ("S-VALUE-01", "S-VALUE-02", "S-VALUE-03"),
    LeaksNamespaces: ("S-SPACE-01",),
    SteersTwice: ("S-STEER-01", "S-STEER-02", "S-STEER-03", "S-STEER-05"),
    HasNoGrace: ("S-CANCEL-02",),
    LeavesBehind: ("S-REMOVE-04", "S-REMOVE-05"),
    ExpiresTooMuch: ("S-REMOVE-01", "S-REMOVE-02", "S-REMOVE-03"),
}
