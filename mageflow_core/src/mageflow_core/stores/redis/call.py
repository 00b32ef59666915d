"""What is asked of a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hiredis import pack_command

if TYPE_CHECKING:
    from mageflow_core.stores.redis.node import Node
    from mageflow_core.stores.redis.scripts import Script


HEAD = 4  # words before the arguments of a script with one key


class Call:
    """What somebody waits for the reply of.

    server: which one is asked; else the one that has this slot, or that of the key. once: never
    asked again. company: those that have the same may go together with it, if any may;
    `arguments` are those of its script then, as they are sent, and `size` says how many.

    Errors: what the driver raises for words that cannot be sent.
    """

    __slots__ = (
        "arguments",
        "cause",
        "company",
        "deadline",
        "future",
        "key",
        "load",
        "once",
        "packed",
        "redirects",
        "script",
        "server",
        "size",
        "slot",
        "written",
    )

    def __init__(
        self,
        *words: str | float,
        key: str = "",
        script: Script | None = None,
        server: Node | None = None,
        slot: int | None = None,
        once: bool = False,
        company: str | None = None,
    ) -> None:
        self.packed = pack(*words)
        if company is not None:
            self.size = len(words) - HEAD
            begin = self.packed.index(b"\n") + 1 + len(bulks(*words[:HEAD]))
            self.arguments = memoryview(self.packed)[begin:]
        self.key = key
        self.script = script
        self.server = server
        self.slot = slot
        self.once = once
        self.company = company
        self.future: asyncio.Future[Any]
        self.deadline = 0.0
        self.cause = ""  # why it is not answered yet
        self.load = False  # the server did not have its script
        self.redirects = 0
        self.written: Written | None = None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Written:
    """Calls written together whose replies are kept back until replicas have answered."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers: list[tuple[Call, Any]] = []


def pack(*words: str | float) -> bytes:
    command: Any = words  # the driver's type is that of a tuple of one
    packed: bytes = pack_command(command)
    return packed


def bulks(*words: str | float) -> bytes:
    """The same without their number, to be sent as a part of a command."""
    return pack(*words).partition(b"\r\n")[2]
