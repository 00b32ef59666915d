"""What a backend must do together with the core: a sentence, and how it is tried."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mageflow_conformance.backends.stage import Stage

Check = Callable[["Stage"], Awaitable[None]]
Level = Literal["core", "extended"]

ID = re.compile(r"B-[A-Z]+-\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """What holds where a backend declines: that the core does it in its place, or that what is
    asked for is refused and nothing is left behind."""

    text: str
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """id: never given to another one, and never changed. text: what holds on every backend.

    claim: the capability, or the ability of the harness, that a backend has to say it has for this
    to apply; one without is core, and cannot be declined.
    alone: nothing else may run meanwhile, as it restarts the engine or counts what the machine
    does. settings: of the apps, beside the backend's own. within: seconds that it may take.
    """

    id: str
    text: str
    check: Check
    claim: str | None = None
    instead: Instead | None = None
    alone: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    within: float = 60.0

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no id of a requirement: B-AREA-00")
        if (self.claim is None) != (self.instead is None):
            raise ValueError(f"{self.id}: say what holds instead where the claim is not made")

    @property
    def level(self) -> Level:
        return "core" if self.claim is None else "extended"


_registered: dict[str, Requirement] = {}


def requirement(
    requirement_id: str,
    text: str,
    *,
    claim: str | None = None,
    instead: Instead | None = None,
    alone: bool = False,
    settings: Mapping[str, Any] | None = None,
    within: float = 60.0,
) -> Callable[[Check], Check]:
    """Register the decorated function as the check of a requirement."""

    def register(check: Check) -> Check:
        made = Requirement(
            id=requirement_id,
            text=text,
            check=check,
            claim=claim,
            instead=instead,
            alone=alone,
            settings=settings or {},
            within=within,
        )
        if made.id in _registered:
            raise ValueError(f"two requirements have the id {made.id}")
        _registered[made.id] = made
        return check

    return register


def registered() -> dict[str, Requirement]:
    """Those whose modules were imported, by their ids."""
    return dict(_registered)
