"""Tasks about how bodies are run."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow

ABOUT = "about"  # rows of what bodies know of themselves
TIDIED = "tidied"  # rows of bodies that were stopped and have cleaned up


class Refused(Exception):
    """What `refuse` raises."""


class Unheard(KeyError):
    """An error of its own kind, and a `LookupError` too."""


ERRORS = {each.__name__: each for each in (ValueError, KeyError, Refused, Unheard)}


def executing_tasks(mf: Mageflow, witness: Witness) -> None:
    _knowing(mf, witness)
    _failing(mf, witness)
    _exiting(mf, witness)

    @mf.task
    async def tidy(ctx: Context, seconds: float = 30.0) -> None:
        """Cleans up, which takes some turns of the loop, when it is stopped."""
        with witness.body(ctx):
            try:
                await asyncio.sleep(seconds)
            finally:
                await asyncio.sleep(0.01)
                witness.note(TIDIED, ctx)


def _knowing(mf: Mageflow, witness: Witness) -> None:
    def facts_of(ctx: Context) -> dict[str, Any]:
        native = type(ctx.native)
        return {
            "key": ctx.key,
            "run": ctx.run_id,
            "task": ctx.task,
            "attempt": ctx.attempt,
            "fence": ctx.fence,
            "idempotency": ctx.idempotency_key,
            "labels": dict(ctx.labels),
            "native": f"{native.__module__}:{native.__qualname__}",
            "cancelled": ctx.cancelled(),
        }

    @mf.task
    async def about(ctx: Context, fails: int = 0) -> dict[str, Any]:
        """What its context tells. fails: so many attempts do, at the end of their bodies."""
        with witness.body(ctx):
            loop = id(asyncio.get_running_loop())
            facts = {**facts_of(ctx), "alive": await ctx.alive()}
            witness.note(ABOUT, ctx, facts=facts, loop=loop, thread=threading.get_ident())
            if ctx.attempt <= fails:
                raise Refused(f"attempt {ctx.attempt}")
            return facts

    @mf.task
    def about_in_thread(ctx: Context) -> dict[str, Any]:
        with witness.body(ctx):
            facts = {**facts_of(ctx), "alive": ctx.alive_sync()}
            witness.note(ABOUT, ctx, facts=facts, thread=threading.get_ident())
            return facts


def _failing(mf: Mageflow, witness: Witness) -> None:
    customers: dict[int, str] = {}

    def look_up(customer: int) -> None:
        try:
            customers.pop(customer)
        except KeyError as error:
            raise Refused(f"there is no customer {customer}") from error

    @mf.task
    async def refuse(ctx: Context, customer: int) -> None:
        with witness.body(ctx):
            look_up(customer)

    @mf.task
    def refuse_in_thread(ctx: Context, customer: int) -> None:
        with witness.body(ctx):
            look_up(customer)

    @mf.task
    async def falter(ctx: Context, fails: int, error: str = "ValueError") -> int:
        """Gives the number of its attempt, if that is beyond those that fail."""
        with witness.body(ctx):
            if ctx.attempt <= fails:
                raise ERRORS[error](f"attempt {ctx.attempt}")
            return ctx.attempt


def _exiting(mf: Mageflow, witness: Witness) -> None:
    exits: dict[str, type[BaseException]] = {
        "SystemExit": SystemExit,
        "KeyboardInterrupt": KeyboardInterrupt,
        "CancelledError": asyncio.CancelledError,
    }

    @mf.task
    async def leave(ctx: Context, how: str) -> None:
        """Raises what would end a process, or a task of its loop."""
        with witness.body(ctx):
            raise exits[how]

    @mf.task
    def leave_in_thread(ctx: Context, how: str) -> None:
        with witness.body(ctx):
            raise exits[how]
