"""Tasks about who starts what, and what of it is told to whom."""

from __future__ import annotations

from typing import Any

from mageflow_conformance.flows import call
from mageflow_conformance.flows.app import STUMBLE
from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow

CHILDREN: dict[str, dict[str, Any]] = {"echo": {"value": 1}, "about": {}, "step": {"add": 5}}
STARTED = "started-below"  # rows of children that a body has started


def submitting_tasks(mf: Mageflow, witness: Witness) -> None:
    @mf.task(name="renamed", aliases=("earlier-name",))
    async def renamed(ctx: Context, n: int = 0) -> dict[str, int | str]:
        with witness.body(ctx):
            return {"n": n + 1, "task": ctx.task}

    @mf.task
    async def parent(ctx: Context, gate: str) -> str:
        """Starts a run that waits at a gate, gives its id, and leaves it alone."""
        with witness.body(ctx):
            child = await mf.start(call("held", gate=gate), labels={"whose": "child"})
            told = await mf.start(call("about"), labels={"whose": "child"})
            witness.note(STARTED, ctx, run=told.id)
            return child.id

    @mf.task(retries=STUMBLE)
    async def parent_again(ctx: Context) -> list[str]:
        """Its first attempt fails when it has started its children, and its second one starts
        them in another order."""
        with witness.body(ctx):
            order = list(CHILDREN.items())
            ids = []
            for task, arguments in order if ctx.attempt == 1 else reversed(order):
                child = await mf.start(call(task, **arguments))
                witness.note(STARTED, ctx, run=child.id, child=task)
                ids.append(child.id)
            if ctx.attempt == 1:
                raise RuntimeError("the first attempt fails")
            return ids

    @mf.task(retries=STUMBLE)
    def parent_in_thread(ctx: Context) -> str:
        """The same with one child, in a thread."""
        with witness.body(ctx):
            child = mf.start_sync(call("echo", value="only"))
            witness.note(STARTED, ctx, run=child.id, child="echo")
            if ctx.attempt == 1:
                raise RuntimeError("the first attempt fails")
            return child.id
