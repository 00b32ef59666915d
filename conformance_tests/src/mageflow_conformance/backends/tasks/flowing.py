"""Tasks about what passes between the parts of a flow."""

from __future__ import annotations

from typing import Any

from mageflow_conformance.flows import call
from mageflow_conformance.flows.app import STUMBLE
from mageflow_conformance.witness import Witness
from mageflow_core import Context, ErrorValue, Mageflow, ReturnValue, Signature, SwarmReport

HEARD, BLAMED, REPORTED = "heard", "blamed", "reported"  # rows of callbacks
ADDED = "added"  # rows of items that an item has added


def flowing_tasks(mf: Mageflow, witness: Witness) -> None:
    _passing(mf, witness)
    _hearing(mf, witness)
    _going_on(mf, witness)


def _passing(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def square(ctx: Context, n: int) -> int:
        """Takes a number, wherever that comes from."""
        with witness.body(ctx):
            return n * n

    @mf.task
    async def say(ctx: Context, who: str, number: ReturnValue[int], word: str = "has") -> str:
        """Takes who from the message, and the number from what was before."""
        with witness.body(ctx):
            return f"{who} {word} {number}"

    @mf.task
    def collect(ctx: Context, **given: Any) -> dict[str, Any]:
        """All that it is given, by name."""
        with witness.body(ctx):
            return given


def _hearing(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def heard(ctx: Context, of: str, result: ReturnValue[Any]) -> None:
        """A success callback. of: its owner, as the flow calls it."""
        with witness.body(ctx):
            witness.note(HEARD, ctx, of=of, result=result)

    @mf.task
    async def blamed(ctx: Context, of: str, error: ErrorValue) -> None:
        """An error callback."""
        with witness.body(ctx):
            witness.note(
                BLAMED,
                ctx,
                of=of,
                owner=error.owner,
                about=error.key,
                cause=error.cause.value,
                message=error.message,
                failed=error.failed,
            )

    @mf.task
    async def reported(ctx: Context, report: SwarmReport) -> None:
        with witness.body(ctx):
            counts = report.counts
            witness.note(
                REPORTED,
                ctx,
                results=[each async for each in report],
                failures=[[each.index, each.error.message] for each in report.failures],
                counts=[counts.total, counts.succeeded, counts.failed, counts.canceled],
            )


def _going_on(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def count_down(ctx: Context, n: int, then: int) -> Signature[Any] | int:
        """Goes on as itself, one less, until nothing is left."""
        with witness.body(ctx):
            return call("count_down", n=n - 1, then=then) if n else then

    @mf.task(retries=STUMBLE)
    async def multiply(ctx: Context, i: int, more: int = 0) -> int:
        """An item that adds items to the swarm that it is in. Its first attempt fails when it
        has done so."""
        with witness.body(ctx):
            swarm = (await mf.load(ctx.key)).parent
            items = [call("square", n=10 * i + n) for n in range(more)]
            added = await swarm.add(items) if items else []
            witness.note(ADDED, ctx, keys=[node.key for node in added])
            if ctx.attempt == 1:
                raise RuntimeError("the first attempt fails")
            return i
