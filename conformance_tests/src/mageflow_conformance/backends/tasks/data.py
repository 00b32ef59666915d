"""Tasks about what goes in and comes out."""

from __future__ import annotations

from typing import Any

from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow


def data_tasks(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def echo(ctx: Context, value: Any) -> Any:
        """Gives back what it was given."""
        with witness.body(ctx):
            return value
