"""What a store must do: a sentence, and how it is tried."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mageflow_core.machine import Policy

if TYPE_CHECKING:
    from mageflow_conformance.stores.bench import Bench

Check = Callable[["Bench"], Awaitable[None]]
Level = Literal["core", "extended"]
# What a store may say of itself, or its harness of its server: without it the requirement does not
# apply, and what holds instead is tried.
Claim = Literal["shared", "lasting"]
# What only a harness can do; without it the requirement is not run.
Ability = Literal["size", "restart", "time", "hasten"]

ID = re.compile(r"S-[A-Z]+-\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """What holds of a store that does not make a claim."""

    text: str
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """id: never given to another one, and never changed. text: what every store must do.

    claim: what a store must say of itself for this to apply; one that applies to all is core.
    wants: what the harness must be able to do for it to be run.
    policy, lease, patience: what the store is opened with.
    """

    id: str
    text: str
    check: Check
    claim: Claim | None = None
    instead: Instead | None = None
    wants: frozenset[Ability] = frozenset()
    policy: Policy
    lease: float
    patience: float

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no id of a requirement: S-AREA-00")
        if (self.claim is None) != (self.instead is None):
            raise ValueError(f"{self.id}: say what holds instead where the claim is not made")

    @property
    def level(self) -> Level:
        return "core" if self.claim is None else "extended"

    @property
    def area(self) -> str:
        return self.id.split("-")[1]


_registered: dict[str, Requirement] = {}


def requirement(
    requirement_id: str,
    text: str,
    *,
    claim: Claim | None = None,
    instead: Instead | None = None,
    wants: Ability | tuple[Ability, ...] = (),
    policy: Policy | None = None,
    lease: float = 30.0,
    patience: float = 30.0,
) -> Callable[[Check], Check]:
    """Register the decorated function as the check of a requirement."""

    def register(check: Check) -> Check:
        made = Requirement(
            id=requirement_id,
            text=text,
            check=check,
            claim=claim,
            instead=instead,
            wants=frozenset([wants] if isinstance(wants, str) else wants),
            policy=policy or Policy(),
            lease=lease,
            patience=patience,
        )
        if made.id in _registered:
            raise ValueError(f"two requirements have the id {made.id}")
        _registered[made.id] = made
        return check

    return register


def registered() -> dict[str, Requirement]:
    """Those whose modules were imported, by their ids."""
    return dict(_registered)
