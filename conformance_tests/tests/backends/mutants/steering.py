"""Workers that do not heed what people say to runs."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.machine import Released, Report
from mageflow_core.runtime.body import Body
from mageflow_core.runtime.doubts import Doubts
from mageflow_core.runtime.inputs import Inputs
from mageflow_core.runtime.runner import Runner
from mutants.breaking import fails, in_script, replace

PARKS = "  if mark then\n    parking.enter"


@fails("B-STEER-01", "B-STEER-02", "B-STEER-03", "B-STEER-04", "B-STEER-05", "B-STEER-12")
def runs_what_is_suspended(_mf: Mageflow) -> None:
    in_script("claim", PARKS, PARKS.replace("if mark", "if false"))


@fails("B-CANCEL-01")
def runs_what_is_canceled(_mf: Mageflow) -> None:
    runs_what_is_suspended(_mf)
    in_script("claim", "if over or mark == 'cancel' then", "if false then")


@fails("B-STEER-06", "B-STEER-08", "B-CANCEL-04", "B-CANCEL-02", "B-CANCEL-03")
def never_stops_a_body(_mf: Mageflow) -> None:
    @replace(Runner, "on_signal")
    def on_signal(_before: Any, _self: Any, *_: Any) -> None:
        """Nobody is told."""

    never_asks_whether_a_claim_holds(_mf)


@fails("B-STEER-11")
def never_asks_whether_a_claim_holds(_mf: Mageflow) -> None:
    @replace(Doubts, "doubt_all")
    def doubt_all(_before: Any, _self: Any) -> None:
        """Nobody doubts."""


@fails("B-STEER-08")
def stops_only_what_is_named(_mf: Mageflow) -> None:
    @replace(Body, "concerns")
    def concerns(_before: Any, self: Any, run_id: str, top: str, **_: Any) -> bool:
        return (run_id, top) == (self.run_id, self.path)


@fails("B-CANCEL-07")
def stops_callbacks_with_their_container(_mf: Mageflow) -> None:
    @replace(Body, "concerns")
    def concerns(before: Any, self: Any, run_id: str, top: str, **_: Any) -> bool:
        found: bool = before(self, run_id, top, callbacks=True)
        return found


@fails("B-STEER-07", "B-CANCEL-05")
def tells_threads_nothing(_mf: Mageflow) -> None:
    @replace(Body, "_reach")
    def reach(before: Any, self: Any) -> None:
        if self._call is None:
            before(self)

    @replace(Inputs, "_context")
    def context(before: Any, self: Any, *given: Any) -> Any:
        made = before(self, *given)
        made._cancelled = lambda: False
        return made


@fails("B-STEER-09")
def counts_attempts_that_were_interrupted(_mf: Mageflow) -> None:
    in_script(
        "report",
        "if kind == 'released' then queueing",
        "node.attempt = node.attempt + 1 if kind == 'released' then queueing",
    )


@fails("B-STEER-10")
def lets_go_before_a_body_has_ended(_mf: Mageflow) -> None:
    kept: set[asyncio.Task[Any]] = set()

    @replace(Runner, "on_signal")
    def on_signal(before: Any, self: Any, *given: Any) -> None:
        before(self, *given)
        for body in self.bodies.values():
            if body.stopped is not None and body.claim is not None:
                report = Report(body.path, body.claim, body.fence, Released())
                task = asyncio.create_task(self._store.report(body.run_id, report))
                kept.add(task)

    @replace(Runner, "_attempt")
    async def attempt(before: Any, self: Any, task: Any, work: Any, body: Any, *given: Any) -> Any:
        fences[body] = work.fence
        return await before(self, task, work, body, *given)

    fences: dict[Any, int] = {}
    Body.fence = property(fences.get)  # type: ignore[attr-defined]


@fails("B-CANCEL-06")
def waits_for_ever_for_bodies_that_do_not_end(_mf: Mageflow) -> None:
    in_script("fire", "HANDLERS.grace()\n", "HANDLERS.grace() do return end\n")


@fails("B-CANCEL-08")
def takes_what_is_canceled_for_failed(_mf: Mageflow) -> None:
    in_script("children", "elseif child.st == 'failed' then", "else")
    in_script(
        "children",
        "    end\n  else\n    inner.canceled = inner.canceled + 1\n  end",
        "    end\n  end",
    )


@fails("B-RETRY-01")
def has_one_callback_for_all_generations(_mf: Mageflow) -> None:
    in_script("turning", "owner.gen > 1 and '@' .. owner.gen or ''", "''")


@fails("B-RETRY-02")
def runs_again_what_is_done(_mf: Mageflow) -> None:
    in_script("swarm", "if item.st == 'done' or (ENDED", "if (ENDED")
