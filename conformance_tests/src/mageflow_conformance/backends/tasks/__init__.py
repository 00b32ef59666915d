"""Tasks of the suite beside those of `flows`, by the requirements that ask for them."""

from __future__ import annotations

from collections.abc import Callable

from mageflow_conformance.backends.tasks.data import data_tasks
from mageflow_conformance.backends.tasks.executing import executing_tasks
from mageflow_conformance.backends.tasks.faults import fault_tasks
from mageflow_conformance.backends.tasks.flowing import flowing_tasks
from mageflow_conformance.backends.tasks.gates import gate_tasks
from mageflow_conformance.backends.tasks.lasting import lasting_tasks
from mageflow_conformance.backends.tasks.operated import operated_tasks
from mageflow_conformance.backends.tasks.steered import steered_tasks
from mageflow_conformance.backends.tasks.submitting import submitting_tasks
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.witness import Witness
from mageflow_core import Mageflow

GROUPS: tuple[Callable[[Mageflow, Witness], None], ...] = (
    data_tasks,
    executing_tasks,
    flowing_tasks,
    gate_tasks,
    submitting_tasks,
    fault_tasks,
    lasting_tasks,
    steered_tasks,
    operated_tasks,
)


def add_tasks(mf: Mageflow, ledger: Ledger) -> Mageflow:
    """Give an app these tasks; returns it."""
    witness = Witness(ledger, lambda: mf.worker_id)
    for register in GROUPS:
        register(mf, witness)
    return mf
