"""A promise that was not kept."""

from __future__ import annotations

from typing import NamedTuple


class Broken(NamedTuple):
    """guarantee: as in G2. key: of the node at which it shows."""

    guarantee: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.guarantee} {self.key}: {self.text}"
