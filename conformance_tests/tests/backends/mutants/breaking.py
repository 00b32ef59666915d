"""How a worker's app is broken: each mutant is a function that is given it before it is opened.

It runs in a worker process, which ends with the trial, so that classes may be changed as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mageflow_conformance.stores.harness import Times
from mageflow_conformance.stores.harnesses import redis
from mageflow_core import Mageflow

Break = Callable[[Mageflow], None]
F = TypeVar("F", bound=Break)


@dataclass(frozen=True, slots=True)
class Mutant:
    """place: the function, as `module:function`. ids: of what it must fail, on this harness."""

    place: str
    ids: tuple[str, ...]
    harness: str

    @property
    def name(self) -> str:
        return self.place.partition(":")[2].replace("_", " ")


MUTANTS: list[Mutant] = []
MENDED: list[Mutant] = []  # those that must fail nothing


def fails(*ids: str, on: str = "asyncio") -> Callable[[F], F]:
    """The requirements that the decorated mutant must fail. on: the name of a harness."""

    def register(function: F) -> F:
        MUTANTS.append(Mutant(f"{function.__module__}:{function.__name__}", ids, on))
        return function

    return register


def mends(*ids: str) -> Callable[[F], F]:
    """Requirements that hold all the same, as the core makes up for what the mutant does."""

    def register(function: F) -> F:
        MENDED.append(Mutant(f"{function.__module__}:{function.__name__}", ids, "asyncio"))
        return function

    return register


def replace(owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put the decorated function in the place of a method: it is given the old one first."""
    before = getattr(owner, name)

    def put(function: Callable[..., Any]) -> None:
        setattr(owner, name, lambda *args, **kwargs: function(before, *args, **kwargs))

    return put


def instead(owner: Any, name: str, value: Any) -> None:
    """Put this in the place of what has this name there."""
    setattr(owner, name, value)


def in_script(part: str, said: str, now: str) -> None:
    """Have the store's scripts say something else, in one of the files that they are made of."""
    before = redis.changes

    def changes(times: Times) -> dict[str, list[tuple[str, str]]]:
        others = before(times)
        return {**others, part: [*others.get(part, ()), (said, now)]}

    redis.changes = changes
    redis.shortened.cache_clear()
