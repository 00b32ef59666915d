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
    gives_back: a job that is released goes to another worker by itself; without it the core has it
    sent again.
    redelivers: gives a job whose worker died to another one by itself, within seconds.
    keeps_jobs: jobs not yet run outlive a restart of the engine, however that is configured.
    priority: runs jobs of a high priority before others that wait.
    reports_waiting: tells how many jobs no worker has taken.
    own_processes: runs bodies in processes of its own, which host the app: the process that serves
    only starts and ends them, and has nothing open meanwhile.
    """

    embedded: bool = False
    enqueue_unregistered: bool = True
    late_registration: bool = False
    async_native: bool = True
    loses_jobs_at_exit: bool = False
    gives_back: bool = False
    redelivers: bool = False
    keeps_jobs: bool = False
    priority: bool = False
    reports_waiting: bool = False
    own_processes: bool = False
