"""A job as it travels: flat text, which every engine can carry beside a message."""

from __future__ import annotations

from collections.abc import Mapping

from mageflow_core.errors import CorruptJob
from mageflow_core.machine import Job
from mageflow_core.names import split_key

PREFIX = "mf-"
# What the name of a job's task begins with, where an engine goes by names: no portable name has a
# colon, so no native task of an adopted one's name is in its way.
JOB = "mageflow:"
FIELDS = ("key", "attempt", "send", "task", "backend", "queue", "priority", "ns")


def is_job(meta: Mapping[str, object]) -> bool:
    """Whether this is a job of MageFlow's, and not one that somebody sent natively."""
    return f"{PREFIX}key" in meta


def pack(job: Job, namespace: str) -> dict[str, str]:
    """Under 1 KB, ASCII; the keys begin with `mf-`."""
    values = (*job, namespace)
    return {
        PREFIX + name: str(value)
        for name, value in zip(FIELDS, values, strict=True)
        if value not in (None, "")
    }


def unpack(meta: Mapping[str, object]) -> tuple[Job, str]:
    """The job and its namespace. Raises `CorruptJob` for what `pack` has not given."""
    said = {name: str(meta.get(PREFIX + name) or "") for name in FIELDS}
    try:
        split_key(said["key"])
        job = Job(
            key=said["key"],
            attempt=int(said["attempt"]),
            send=int(said["send"]),
            task=said["task"],
            backend=said["backend"],
            queue=said["queue"] or None,
            priority=said["priority"] or None,
        )
    except ValueError as error:
        raise CorruptJob(f"a message is no job of MageFlow's: {error}") from error
    if not (said["key"] and job.task and said["ns"]):
        lacking = [name for name in ("key", "task", "ns") if not said[name]]
        raise CorruptJob(f"a message is no job of MageFlow's: it has no {', '.join(lacking)}")
    return job, said["ns"]
