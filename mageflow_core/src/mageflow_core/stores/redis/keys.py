"""The names of what is kept in Redis. All keys of a bucket have one tag, and so one slot."""

from __future__ import annotations

from zlib import crc32

BUCKETS = 64  # written into the namespace at its first use, and never changed


class Keys:
    """Keys and channels of one namespace; all begin with `{<namespace>:` or `<namespace>:`."""

    def __init__(self, namespace: str) -> None:
        self.meta = f"{{{namespace}:all}}:meta"
        self.workers = f"{{{namespace}:all}}:workers"
        self.control = f"{namespace}:control"
        self.due = f"{namespace}:due"
        self._tags = [f"{{{namespace}:{number}}}:" for number in range(BUCKETS)]
        self._runs = f"{namespace}:run:"
        self._inboxes = f"{namespace}:inbox:"

    def run(self, run_id: str) -> str:
        return f"{self._tags[bucket_of(run_id)]}r:{run_id}"

    def staged(self, run_id: str, token: str) -> str:
        return f"{self._tags[bucket_of(run_id)]}t:{run_id}:{token}"

    def value(self, run_id: str, place: str) -> str:
        """A value that is too long to be a field: of a node's path, or `$` for the message."""
        return f"{self._tags[bucket_of(run_id)]}v:{run_id}{place}"

    def bucket(self, number: int) -> str:
        """A key that stands for the bucket."""
        return f"{self._tags[number]}jobs"

    def channel(self, run_id: str) -> str:
        """Where those who wait for the run are told."""
        return self._runs + run_id

    def inbox(self, name: str) -> str:
        """Where a store is told of the runs that it has started."""
        return self._inboxes + name


def bucket_of(run_id: str) -> int:
    return crc32(run_id.encode()) % BUCKETS
