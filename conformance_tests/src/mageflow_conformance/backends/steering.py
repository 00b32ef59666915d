"""What requirements about steering have in common."""

from __future__ import annotations

from typing import Any

from mageflow_conformance import history
from mageflow_conformance.backends.gates import open_gate
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.tasks.steered import GO
from mageflow_conformance.flows import call
from mageflow_conformance.history.steering import Verb
from mageflow_conformance.ledger import by_key
from mageflow_conformance.witness import BEGUN
from mageflow_core import Run, chain

LONG = 20.0  # seconds: nothing takes that long, except where the machine is very busy
LEASE = 6.0  # seconds, where a worker is to find out within one that jobs wait elsewhere
REACH = 5.0  # seconds in which bodies have to see it


async def begun(stage: Stage, flow: Any, message: Any = None) -> Run[Any]:
    """A run of it in which a body has begun."""
    run = await stage.mf.start(flow, {} if message is None else message)
    await stage.ledger.has(BEGUN, below=run.id, within=LONG)
    return run


async def steer(stage: Stage, node: Any, verb: Verb, *, reach: float = REACH) -> bool:
    """Do this to a run or node, and note when it was confirmed. True if it applied."""
    return await history.steer(stage.ledger, node, verb, reach=reach)


def go(stage: Stage, gate: str = GO) -> None:
    """Let bodies end that wait for it."""
    open_gate(stage.ledger, gate)


async def other_work(stage: Stage, bodies: int = 10) -> None:
    """Have another run done meanwhile, by the same workers: what could have been begun in that
    time and was not is held back."""
    run = await stage.mf.start(chain(*[call("step")] * bodies), {"n": 0})
    assert await run.result(timeout=LONG) == {"n": bodies}


def bodies(stage: Stage, run: Run[Any]) -> dict[str, list[int | None]]:
    """key → the attempts whose bodies have begun, in the order in which they were claimed."""
    found = by_key(stage.ledger.of(BEGUN, below=run.id))
    return {
        key: [row.attempt for row in sorted(rows, key=lambda row: row.fence or 0)]
        for key, rows in found.items()
    }
