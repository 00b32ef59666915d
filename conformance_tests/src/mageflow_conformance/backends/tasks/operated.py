"""Tasks about what people see of a worker that runs."""

from __future__ import annotations

from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow, Retry

TOLD = "it was told"


def operated_tasks(mf: Mageflow, witness: Witness) -> None:
    @mf.task(retries=Retry(retries=1, delay=0.05, jitter=0))
    async def confide(ctx: Context, secret: str, n: int = 0) -> dict[str, int]:
        """Logs something else, and fails at its first attempt."""
        with witness.body(ctx):
            assert secret
            ctx.logger.info(TOLD)
            if ctx.attempt == 1:
                raise RuntimeError("the first attempt fails")
            return {"n": n + 1}
