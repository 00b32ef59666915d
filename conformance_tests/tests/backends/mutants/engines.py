"""Adapters that are wrong about an engine of their own: what the embedded backend has none of."""

from __future__ import annotations

import sys
from typing import Any

from mageflow_core import Mageflow
from mutants.breaking import fails, replace
from mutants.deliveries import runs_duplicates_without_a_claim

TASKIQ = "taskiq-redis-stream"


@fails("B-NATIVE-01", "B-NATIVE-02", "B-NATIVE-04", on=TASKIQ)
def finds_no_tasks_but_its_own(mf: Mageflow) -> None:
    broker = mf.native
    find = broker.find_task
    broker.find_task = lambda name: find(name) if name.startswith("mageflow:") else None


@fails("B-NATIVE-03", on=TASKIQ)
def adopts_nothing(_mf: Mageflow) -> None:
    from mageflow_taskiq import TaskiqBackend

    @replace(TaskiqBackend, "natives")
    def natives(_before: Any, _self: Any) -> Any:
        return ()


@fails("B-SEAM-08", on=TASKIQ)
def runs_what_is_delivered_again(mf: Mageflow) -> None:
    """To the worker that has it already, as only that one can run it without a claim."""
    from mageflow_taskiq import StreamBroker

    runs_duplicates_without_a_claim(mf)

    @replace(StreamBroker, "_left")
    async def left(_before: Any, self: Any, stream: str) -> Any:
        here = stream, self.consumer_group_name
        overdue = await self._redis.xpending_range(
            *here, "-", "+", 10, self.consumer_name, idle=self.idle_timeout
        )
        numbers = [each["message_id"] for each in overdue]
        if not numbers:
            return []
        claimed = await self._redis.xclaim(*here, self.consumer_name, 0, numbers)
        return [(stream, number, fields[b"data"]) for number, fields in claimed]


@fails("B-SEAM-10", "B-OPER-01", on=TASKIQ)
def ends_with_its_engine(_mf: Mageflow) -> None:
    from mageflow_taskiq.receiver import MageReceiver

    @replace(MageReceiver, "listen_until")
    async def listen_until(before: Any, self: Any, stop: Any) -> None:
        try:
            await before(self, stop)
        except Exception:  # noqa: BLE001  # whatever it is
            stop.set()


@fails("B-OPER-02", on=TASKIQ)
def prints_where_its_engine_is(mf: Mageflow) -> None:
    from mageflow_taskiq import TaskiqSettings

    sys.stderr.write(f"it is at {mf.settings.of('taskiq', TaskiqSettings).url}\n")
