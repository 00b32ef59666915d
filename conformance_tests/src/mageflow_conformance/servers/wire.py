"""A few words of Redis's protocol: what tests ask a server beside the store that they test.

Not a client for anything else: one connection for each call, and nothing is retried. It is here so
that the suite needs no driver, and shares no code with the store under test.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, BinaryIO

from mageflow_conformance.servers.ports import HOST


class WireError(Exception):
    """The server has answered with an error."""


class Wire:
    """Calls to one server. Raises `OSError` where it does not answer within `timeout` seconds."""

    def __init__(
        self,
        port: int,
        *,
        host: str = HOST,
        user: str | None = None,
        password: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._address = (host, port)
        self._login = [part for part in (user, password) if part is not None]
        self._timeout = timeout

    def call(self, *command: str | int) -> Any:
        """One answer: text, number, list, or `None`. Raises `WireError` and `OSError`."""
        return self.call_all([command])[0]

    def call_all(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Answers to several commands, over one connection."""
        with (
            socket.create_connection(self._address, self._timeout) as connection,
            connection.makefile("rb") as answers,
        ):
            if self._login:
                connection.sendall(encode(("AUTH", *self._login)))
                decode(answers)
            connection.sendall(b"".join(encode(command) for command in commands))
            return [decode(answers) for _ in commands]


def encode(command: tuple[str | int, ...]) -> bytes:
    parts = [str(part).encode() for part in command]
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def decode(answers: BinaryIO) -> Any:
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server has closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise WireError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return answers.read(size + 2)[:-2].decode("utf-8", "replace") if size >= 0 else None
    if kind == b"*":
        return [decode(answers) for _ in range(int(rest))] if int(rest) >= 0 else None
    raise WireError(f"not understood: {line!r}")
