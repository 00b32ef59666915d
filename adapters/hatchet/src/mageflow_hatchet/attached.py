"""A client of Hatchet's that MageFlow works with beside whoever owns it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any

from hatchet_sdk import Hatchet
from hatchet_sdk.runnables.workflow import BaseWorkflow
from hatchet_sdk.worker.worker import Worker

from mageflow_core.backends import Deliveries, Host
from mageflow_core.errors import ConfigurationError
from mageflow_hatchet.jobs import Jobs
from mageflow_hatchet.running import actions_of

MARK = "_mageflow"
FIRST = "mageflow.branch"  # a task that every app has


class Attached:
    """Replaces `worker` of one client, so that the workers that it makes host the app."""

    def __init__(self, hatchet: Hatchet, jobs: Jobs, deliveries: Deliveries) -> None:
        """Takes the place of an app that was around this client before. Raises
        `ConfigurationError` where that one is open."""
        client: Any = hatchet
        before: Attached | None = getattr(client, MARK, None)
        if before is not None:
            if before.deliveries.runner is not None:
                raise ConfigurationError(
                    "an app is open around this Hatchet client already: one client has one app, "
                    "or each of two has a client of its own"
                )
            client.worker = before._make
        self.host: Host | None = None
        self.hosting = False
        self.deliveries: Deliveries = deliveries
        self.tasks: Callable[[], list[BaseWorkflow[Any]]] = list
        self._jobs = jobs
        self._make: Callable[..., Worker] = client.worker
        client.worker = self._worker
        setattr(client, MARK, self)

    def _worker(self, name: str, *args: Any, **options: Any) -> Worker:
        given = inspect.signature(self._make).bind(name, *args, **options).arguments
        native = [each for each in given.get("workflows") or () if isinstance(each, BaseWorkflow)]
        # It starts with nothing less than a workflow, and hears of the others as it does.
        given["workflows"] = [*native, self._jobs.workflow(FIRST)]
        inner = given.pop("lifespan", None)
        made: list[Worker] = []

        async def lifespan() -> AsyncGenerator[Any, None]:
            assert self.host is not None, "the app told of it as it was made"
            self.hosting = True
            try:
                await self.host.begin(slots=made[0]._slots)  # noqa: SLF001
                made[0]._action_registry.update(actions_of(self.tasks()))  # noqa: SLF001
                if inner is None:
                    yield None
                else:
                    async for context in inner():
                        yield context
            finally:
                await self.host.end(grace=0)  # bodies had the time that Hatchet gives
                self.hosting = False

        made.append(self._make(**given, lifespan=lifespan))
        return made[0]
