"""Workers that say something else of themselves than they should."""

from __future__ import annotations

import logging
import sys
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.client.serving import Serving
from mageflow_core.runtime.inputs import Inputs
from mageflow_core.runtime.runner import Runner
from mageflow_core.stores.redis.store import RedisStore
from mutants.breaking import fails, replace


@fails("B-OPER-05", "B-OPER-06")
def does_not_say_that_it_leaves(_mf: Mageflow) -> None:
    @replace(RedisStore, "leave")
    async def leave(_before: Any, _self: Any, _worker: str, **_: Any) -> None:
        """Nobody is told."""


@fails("B-OPER-07")
def hears_only_one_signal(_mf: Mageflow) -> None:
    @replace(Serving, "on_signal")
    def on_signal(before: Any, self: Any) -> None:
        if not self._stop.is_set():
            before(self)


@fails("B-OPER-08")
def logs_what_bodies_get(_mf: Mageflow) -> None:
    @replace(Runner, "_attempt")
    async def attempt(before: Any, self: Any, task: Any, work: Any, *given: Any) -> Any:
        logging.getLogger("mageflow.runner").warning("%s: %s", work.key, work.input.message)
        return await before(self, task, work, *given)


@fails("B-OPER-08")
def does_not_say_whose_lines_they_are(_mf: Mageflow) -> None:
    @replace(Inputs, "_context")
    def context(before: Any, self: Any, *given: Any) -> Any:
        made = before(self, *given)
        made.logger = logging.getLogger("mageflow.task")
        return made


@fails("B-OPER-03")
def prints_where_its_store_is(mf: Mageflow) -> None:
    sys.stderr.write(f"it is at {mf.settings.store}\n")
