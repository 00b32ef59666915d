"""Sizes at which the store in Redis does things in pieces, small enough to be met."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar
from unittest.mock import patch

REDIS = "mageflow_core.stores.redis"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """lease: seconds; after one that is over in no test a few of them are still within this
    century. inline: bytes of the longest value in a field. fields: names that are sent in
    one call. items: of a swarm, read in one call. ranges: of items that differ. company: whether
    steps go with others, in one call. inbox: whether runs are started with one."""

    lease: float = 1e7
    inline: int = 65_536
    fields: int = 2_000
    items: int = 1_000
    ranges: int = 50
    company: bool = False
    inbox: bool = False

    current: ClassVar[Limits]

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Meanwhile stores that are made have these."""
        with ExitStack() as stack:
            for name, value in (
                ("snapshot.INLINE", self.inline),
                ("reader.INLINE", self.inline),
                ("store.FIELDS_AT_ONCE", self.fields),
                ("views.ITEMS_AT_ONCE", self.items),
                ("plan.FEW_RANGES", self.ranges),
            ):
                stack.enter_context(patch(f"{REDIS}.{name}", value))
            stack.enter_context(patch.object(Limits, "current", self))
            yield


Limits.current = Limits()
