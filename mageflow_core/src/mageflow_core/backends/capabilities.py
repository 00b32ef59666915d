"""What a backend can do, as data. Computed for each instance, from how it is configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts, not promises: the core uses them to optimise or to refuse early, and never to skip
    its own safety net.

    embedded: the worker lives in the process of the app, so that its tasks are all there are.
    enqueue_unregistered: takes jobs of tasks that no worker has announced.
    late_registration: tasks can be registered while it serves.
    async_native: runs coroutines on the caller's event loop.
    loses_jobs_at_exit: jobs not yet run are gone with the process; the store has them still.
    """

    embedded: bool = False
    enqueue_unregistered: bool = True
    late_registration: bool = False
    async_native: bool = True
    loses_jobs_at_exit: bool = False
