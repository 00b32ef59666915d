"""The node whose body is running here, for what that body starts."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Running:
    """ordinals: how many runs and items of each content this attempt has started so far."""

    key: str
    generation: int
    ordinals: Counter[str] = field(default_factory=Counter)

    def id_for(self, content: str, key: str | None) -> str:
        """The id of what the body starts now: the same in each attempt of this generation, in
        whatever order the body starts things. Equal contents are told apart by their ordinal
        among equals, so that one call never finds another one's."""
        nth = content if key is None else f"key:{key}"
        if key is None:
            self.ordinals[content] += 1
            nth = f"{content}:{self.ordinals[content]}"
        digest = hashlib.sha256(f"{self.key}\n{self.generation}\n{nth}".encode())
        return f"d{digest.hexdigest()[:31]}"


running: ContextVar[Running | None] = ContextVar("mageflow_running", default=None)
