"""Gates that bodies of the suite wait at; see `tasks.gates`."""

from __future__ import annotations

from mageflow_conformance.ledger import Ledger

OPEN = "open"  # rows of gates that are open; `gate` in them says which


def open_gate(ledger: Ledger, gate: str) -> None:
    """Let go on what waits there, now or later."""
    ledger.note(OPEN, gate=gate)
