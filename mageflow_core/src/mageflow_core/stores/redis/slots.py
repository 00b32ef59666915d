"""Which server of a cluster has which slot."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.crc import key_slot

SLOTS = 16384


class Place(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Slots:
    """Begins empty: then, and for a slot that nobody has, the server in the URL is asked."""

    def __init__(self) -> None:
        self._places: list[Place | None] = []

    def __bool__(self) -> bool:
        return bool(self._places)

    def place(self, key: str) -> Place | None:
        """Who has the slot of a key, as far as is known."""
        return self.at(key_slot(key.encode()))

    def at(self, slot: int) -> Place | None:
        """Who has a slot, as far as is known."""
        return self._places[slot] if self._places else None

    def places(self) -> list[Place]:
        """All masters, each once."""
        return list(self.some())

    def some(self) -> dict[Place, int]:
        """A slot of each master."""
        found: dict[Place, int] = {}
        for slot, place in enumerate(self._places):
            if place is not None:
                found.setdefault(place, slot)
        return found

    def move(self, slot: int, place: Place) -> None:
        if not self._places:
            self._places = [None] * SLOTS
        self._places[slot] = place

    def learn(self, ranges: list[list[Any]], asked: str) -> None:
        """Take what `CLUSTER SLOTS` has answered; a host that it leaves out is the one asked."""
        places: list[Place | None] = [None] * SLOTS
        for first, last, master, *_ in ranges:
            host = master[0] if master[0] and master[0] != "?" else asked
            place = Place(host, int(master[1]))
            for slot in range(first, last + 1):
                places[slot] = place
        self._places = places
