"""Jobs between the step that made them due and the claim that takes them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from mageflow_core.machine import Job

LONGEST_WAIT = 3_600.0
GROUPS = 7  # the wait doubles from one to the next, until it is the longest


@dataclass(slots=True)
class Entry:
    """at: when it was written, then when it was confirmed. resends: how often it was sent again
    because it waited."""

    job: Job
    at: float
    resends: int = 0


# First in, first out, also with a great many taken from the middle: a plain dict would look
# through all that was deleted at its front.
Group = OrderedDict[str, Entry]


class Outbox:
    """First unconfirmed: to be sent, and sent again if nobody says that it was. Then waiting in
    the backend's queue: sent again only where workers are idle, each time after twice the wait.

    Jobs that were sent again equally often wait equally long, so each such group is in the order
    in which they become overdue.
    """

    def __init__(self, *, unconfirmed_after: float = 10.0, resend_after: float = 60.0) -> None:
        self.unconfirmed_after = unconfirmed_after
        self.resend_after = resend_after
        self._unconfirmed: Group = OrderedDict()
        waits = (min(resend_after * 2**resends, LONGEST_WAIT) for resends in range(GROUPS))
        self._waiting: list[tuple[float, Group]] = [(wait, OrderedDict()) for wait in waits]
        self._group_of: dict[str, Group] = {}

    def __len__(self) -> int:
        return len(self._group_of)

    def put(self, job: Job, now: float) -> None:
        self.drop(job.key)
        self._unconfirmed[job.key] = Entry(job, now)
        self._group_of[job.key] = self._unconfirmed

    def drop(self, key: str) -> Entry | None:
        group = self._group_of.pop(key, None)
        return group.pop(key) if group is not None else None

    def sent_at(self, key: str) -> float | None:
        group = self._group_of.get(key)
        return group[key].at if group is not None else None

    def confirm(self, job: Job, now: float) -> None:
        entry = self._unconfirmed.get(job.key)
        if entry is None or entry.job.send != job.send:
            return
        del self._unconfirmed[job.key]
        entry.at = now
        _, group = self._waiting[min(entry.resends, GROUPS - 1)]
        group[job.key] = entry
        self._group_of[job.key] = group

    def unconfirmed(self, now: float, limit: int) -> list[Entry]:
        """Take out jobs that were not confirmed in time."""
        taken: list[Entry] = []
        while (at := self.next_unconfirmed()) is not None and at <= now and len(taken) < limit:
            key, entry = self._unconfirmed.popitem(last=False)
            del self._group_of[key]
            taken.append(entry)
        return taken

    def next_unconfirmed(self) -> float | None:
        for entry in self._unconfirmed.values():
            return entry.at + self.unconfirmed_after
        return None

    def overdue(self, sent_before: float, limit: int) -> list[Entry]:
        """Take out waiting jobs that a worker is to be given again, when one that was sent at
        `sent_before` has been claimed."""
        taken: list[Entry] = []
        for wait, group in self._waiting:
            while group and len(taken) < limit:
                key = next(iter(group))
                if group[key].at + wait > sent_before:
                    break
                taken.append(group.pop(key))
                del self._group_of[key]
        return taken

    def resent(self, before: Entry, *, waited: bool) -> None:
        """A job that was taken out has been written anew, under another id; if it had waited in
        the backend's queue it will wait twice as long there."""
        entry = self._unconfirmed.get(before.job.key)
        if entry is not None:
            entry.resends = before.resends + waited
