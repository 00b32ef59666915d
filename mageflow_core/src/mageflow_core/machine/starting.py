"""A run is stored, and started."""

from __future__ import annotations

from mageflow_core.machine.containers import work_off
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import begin, new_node
from mageflow_core.machine.records import MESSAGE


def store(draft: Draft) -> None:
    """The run's record is there; it waits to be started, until `pending_ttl` is over."""
    new_node(draft, "", None, position=0, role="root", signature=draft.run.signature)
    draft.at("expire", "", draft.now + draft.policy.pending_ttl)


def start(draft: Draft, message: str, start_id: str) -> str | None:
    """Begin the run; gives why not, if it cannot be. Asked again with the same id, it is
    answered as before."""
    run = draft.run
    if run.start_id == start_id:
        return None
    if run.start_id is not None:
        return "it was started before"
    if run.reserved_by is not None:
        return f"it stands for a part of run {run.reserved_by}"
    root = draft.edit("")
    if root.status.ended:
        return f"it has ended: {root.status.value}"
    run = draft.edit_run()
    run.start_id = start_id
    run.message = message
    run.started_at = draft.now
    draft.never("expire", "")
    options = root.signature.opts
    if options.deadline is not None:
        run.deadline = draft.now + options.deadline
        draft.at("deadline", "", run.deadline)
    draft.log("started", root)
    begin(draft, root, (MESSAGE, None, ()))
    work_off(draft)
    return None
