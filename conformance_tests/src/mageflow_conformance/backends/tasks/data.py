"""Tasks about what goes in and comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from typing_extensions import TypedDict  # pydantic refuses that of Python 3.11

from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow, Retry, ReturnValue

AGAIN = Retry(retries=3, delay=0.01, jitter=False)
GIVEN = "given"  # rows of what a body was given: `of`, its type


@dataclass
class Line:
    article: str
    count: int = 1


class Order(BaseModel):
    number: int
    due: datetime
    lines: list[Line]


class Bill(BaseModel):
    order: int
    total: Decimal


class Address(TypedDict):
    city: str
    house: int


# What no body may give back.
UNFIT: Mapping[str, Callable[[], Any]] = {
    "object": object,
    "not a number": lambda: {"rows": [1.5, float("nan")]},
    "bytes": lambda: {"rows": [b"x"]},
    "set": lambda: {1, 2},
    "number as a key": lambda: {1: "one"},
    "half a character": lambda: "\ud83d",
}


def data_tasks(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def echo(ctx: Context, value: Any) -> Any:
        """Gives back what it was given."""
        with witness.body(ctx):
            return value

    @mf.task
    async def swell(ctx: Context, text: str, size: int) -> str:
        """So many characters."""
        with witness.body(ctx):
            return (text * size)[:size]

    @mf.task
    async def digest(ctx: Context, text: str) -> str:
        with witness.body(ctx):
            return digest_of(text)

    @mf.task
    async def alter(ctx: Context, i: int, text: str, seen: list[int], own: dict[str, Any]) -> Any:
        """Changes what it was given, and tells what that was before."""
        with witness.body(ctx):
            before = {"i": i, "size": len(text), "seen": list(seen), "own": dict(own)}
            seen.append(i)
            own[f"item {i}"] = i
            return before

    _models(mf, witness)
    _unfit(mf, witness)


def _models(mf: Mageflow, witness: Witness) -> None:
    @mf.task(retries=AGAIN)
    async def bill(ctx: Context, order: Order) -> Bill:
        with witness.body(ctx):
            witness.note(GIVEN, ctx, of=[type(order).__name__, type(order.lines[0]).__name__])
            assert order.due.tzinfo is not None
            total = Decimal(sum(line.count for line in order.lines))
            return Bill(order=order.number, total=total)

    @mf.task
    async def first_line(ctx: Context, order: Order, paid: ReturnValue[Bill | None] = None) -> Line:
        """Of the chain's message; and what the step before has given."""
        with witness.body(ctx):
            witness.note(GIVEN, ctx, of=[type(order).__name__, type(paid).__name__])
            return order.lines[0]

    @mf.task
    def double(ctx: Context, line: Line) -> Line:
        with witness.body(ctx):
            witness.note(GIVEN, ctx, of=[type(line).__name__])
            return Line(line.article, line.count * 2)

    @mf.task
    async def next_door(ctx: Context, address: Address) -> Address:
        with witness.body(ctx):
            witness.note(GIVEN, ctx, of=[type(address).__name__])
            return Address(city=address["city"], house=address["house"] + 2)


def _unfit(mf: Mageflow, witness: Witness) -> None:
    @mf.task(retries=AGAIN)
    async def unfit(ctx: Context, what: str) -> Any:
        with witness.body(ctx):
            return UNFIT[what]()

    @mf.task(retries=AGAIN)
    async def not_as_promised(ctx: Context) -> Bill:
        with witness.body(ctx):
            return {"order": 1, "total": "much"}  # type: ignore[return-value]  # which it is about


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def an_order() -> Order:
    lines = [Line("spoon", 3), Line("knife")]
    return Order(number=2**53 + 1, due=datetime(2031, 5, 17, 8, 30, tzinfo=UTC), lines=lines)
