"""The running context: what a task's body can know of the attempt that it is."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import CoreSchema

from mageflow_core.signatures.injected import injected_schema

if TYPE_CHECKING:
    from mageflow_core.signatures.signature import Signature


class Context:
    """Given to a parameter or model field annotated `Context`, whatever it is called.

    key, run_id, task: what runs. attempt: from 1, anew in each generation.
    fence: rises with each claim of this node; who writes elsewhere can refuse older ones by it.
    idempotency_key: the same for all attempts of this node in one generation: for side effects
        of your own that should happen once.
    labels: those of the run. logger: says run, key, task and attempt with each line.
    signature: what was asked for, with what is bound to it.
    native: the engine's own context, if it has one; its type is the backend's.
    """

    __slots__ = (
        "_alive",
        "_alive_sync",
        "_cancelled",
        "attempt",
        "fence",
        "idempotency_key",
        "key",
        "labels",
        "logger",
        "native",
        "run_id",
        "signature",
        "task",
    )

    def __init__(
        self,
        *,
        key: str,
        run_id: str,
        task: str,
        attempt: int,
        fence: int,
        idempotency_key: str,
        cancelled: Callable[[], bool],
        alive: Callable[[], Awaitable[bool]],
        alive_sync: Callable[[], bool],
        logger: logging.Logger | logging.LoggerAdapter[Any],
        labels: Mapping[str, str] | None = None,
        signature: Signature[Any] | None = None,
        native: Any = None,
    ) -> None:
        self.key = key
        self.run_id = run_id
        self.task = task
        self.attempt = attempt
        self.fence = fence
        self.idempotency_key = idempotency_key
        self.labels: Mapping[str, str] = labels or {}
        self.logger = logger
        self.signature = signature
        self.native = native
        self._cancelled = cancelled
        self._alive = alive
        self._alive_sync = alive_sync

    def cancelled(self) -> bool:
        """Whether the body should stop. Asks nobody and never blocks: for loops of sync bodies.

        True is final. False may be late by as much as the control channel, or one renewal of the
        lease while that is down; `alive` asks the store.
        """
        return self._cancelled()

    async def alive(self) -> bool:
        """Whether this attempt still counts: its claim holds and nothing stopped it. One round
        trip to the store; raises `StoreUnavailable`."""
        return await self._alive()

    def alive_sync(self) -> bool:
        """`alive` for sync bodies; blocks the thread for one round trip."""
        return self._alive_sync()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        return injected_schema(cls)

    def __repr__(self) -> str:
        return f"<Context of {self.task!r}: {self.key}, attempt {self.attempt}>"
