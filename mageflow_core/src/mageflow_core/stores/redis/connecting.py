"""Where a Redis server is, and connections to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Protocol, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import connection as driver
from redis.exceptions import RedisError

from mageflow_core.errors import SettingsError
from mageflow_core.urls import safe_url

PORT = 6379
CONNECT_WITHIN = 5.0  # seconds for the socket, TLS and the login together
SOCKET = "redis+socket"
SCHEMES = ("redis", "rediss", SOCKET)
LOGIN = ("db", "username", "password")
TLS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_password",
)
VALUES = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}


class Connection(Protocol):
    """What is used of the driver's connections, and what is added to them here.

    Commands are written as bytes, at any time; their replies come in the same order.
    """

    async def connect(self) -> None:
        """Connect and log in. Raises the driver's errors."""
        ...

    async def read_response(self, *, disconnect_on_error: bool) -> Any:
        """The next reply. Raises the driver's errors, also where the reply is one."""
        ...

    def write(self, data: bytes) -> None:
        """Send this; never waits."""
        ...

    def abort(self) -> None:
        """Close the socket at once: who reads learns that the connection is lost."""
        ...

    async def end(self) -> None:
        """Close the socket, and wait for that; what is on its way is lost."""
        ...


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Address:
    """A server, and how to log in there. Its text never shows a password.

    path: of a Unix socket; then host and port do not matter. tls: options by name; `None` for a
    connection in the clear.
    """

    host: str = "localhost"
    port: int = PORT
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: Mapping[str, str] | None = field(default=None, hash=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address in a URL.

        `redis://[[username]:password@]host[:port][/db]`, `rediss://` for TLS, and
        `redis+socket://[[username]:password@]/path` for a Unix socket. In user name and password
        all but letters and digits is percent-encoded. Options after a `?`: `db`, `username`,
        `password`; with TLS also `ssl_ca_certs`, `ssl_ca_path`, `ssl_cert_reqs` (`required`,
        `none`), `ssl_certfile`, `ssl_check_hostname` (`true`, `false`), `ssl_keyfile` and
        `ssl_password`. Raises `SettingsError` for anything else.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _wrong(url, "its port is no number up to 65535, or its host is none") from None
        if parts.scheme not in SCHEMES:
            raise _wrong(url, f"expected one of {', '.join(f'{each}://' for each in SCHEMES)}")
        if parts.fragment:
            raise _wrong(url, "a # has no meaning in it")
        secure = parts.scheme == "rediss"
        options = _options(url, parts.query, secure=secure)
        local = parts.scheme == SOCKET
        if local and not parts.path.strip("/"):
            raise _wrong(
                url, f"the path of the socket is missing, as in {SOCKET}:///run/redis.sock"
            )
        return cls(
            host=unquote(parts.hostname or "localhost"),
            port=PORT if port is None else port,
            path=unquote(parts.path) if local else "",
            db=_db(url, options.get("db") or ("" if local else parts.path[1:]) or "0"),
            username=unquote(parts.username or "") or options.get("username") or None,
            password=unquote(parts.password or "") or options.get("password") or None,
            tls={name: options[name] for name in TLS if name in options} if secure else None,
        )

    def at(self, host: str, port: int) -> Address:
        """Another server, with the same login."""
        return replace(self, host=host, port=port, path="")

    def connection(self) -> Connection:
        """A new connection, not connected yet. Raises `SettingsError` if TLS cannot be set up."""
        login: dict[str, Any] = {
            "db": self.db,
            "username": self.username,
            "password": self.password,
            "decode_responses": True,
            "encoding_errors": "surrogateescape",  # a piece of a value may end within a character
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT_WITHIN,
        }
        if self.path:
            return cast("Connection", _SocketConnection(path=self.path, **login))
        context = None if self.tls is None else _context(str(self), self.tls)
        login |= {"host": self.host, "port": self.port}
        return cast("Connection", _TcpConnection(context, **login))

    def __str__(self) -> str:
        login = f"{self.username or ''}{':***' if self.password else ''}"
        at = f"{login}@" if login else ""
        if self.path:
            return f"{SOCKET}://{at}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{at}{host}:{self.port}/{self.db}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def _wrong(url: str, why: str) -> SettingsError:
    return SettingsError(f"{safe_url(url)!r} names no Redis server: {why}")


def _options(url: str, query: str, *, secure: bool) -> dict[str, str]:
    try:
        found = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else ())
    except ValueError:
        raise _wrong(url, "after the ? it must go on as name=value&name=value") from None
    known = [*LOGIN, *TLS]
    for name, value in found.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise _wrong(url, f"it has an unknown option {name}; {hint}")
        if name in TLS and not secure:
            raise _wrong(
                url, f"{name} is for connections with TLS, whose URLs begin with rediss://"
            )
        if name in VALUES and value not in VALUES[name]:
            raise _wrong(url, f"{name} can be {', '.join(VALUES[name])}")
    return found


def _db(url: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _wrong(url, "the database must be a number, as in redis://localhost:6379/0")
    return int(text)


def _context(shown: str, options: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path")
        )
        if options.get("ssl_cert_reqs") == "none":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif options.get("ssl_check_hostname") == "false":
            context.check_hostname = False
        own = options.get("ssl_certfile")
        if own is not None:
            # Without a password a key that has one would be asked for on the terminal.
            password = options.get("ssl_password", "")
            context.load_cert_chain(own, options.get("ssl_keyfile"), password)
    except OSError as error:
        files = ", ".join(
            f"{name}={value}"
            for name, value in options.items()
            if name in {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
        )
        raise SettingsError(
            f"TLS for {shown} cannot be set up with {files}: {error}. Check these files, and"
            " ssl_password."
        ) from error
    return context


class _Direct(driver.AbstractConnection):
    """Written to without waiting: what waits for a reply is kept by who asked anyway."""

    _kept: asyncio.StreamWriter | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # The driver would introduce itself: two replies more, and a user may not be allowed to.
        self.driver_info = self.lib_name = self.lib_version = None

    def write(self, data: bytes) -> None:
        writer = self._writer
        if writer is not None:
            writer.write(data)

    def abort(self) -> None:
        writer = self._kept
        if writer is not None:
            writer.transport.abort()

    async def end(self) -> None:
        with suppress(OSError, RedisError):
            await self.disconnect(nowait=True)
        writer = self._kept
        if writer is not None:
            # A peer that reads nothing would hold up an orderly end for ever.
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


class _TcpConnection(_Direct, driver.Connection):
    def __init__(self, context: ssl.SSLContext | None, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        if self._context is not None:
            arguments["ssl"] = self._context
        return arguments

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        self._kept = self._writer


class _SocketConnection(_Direct, driver.UnixDomainSocketConnection):
    async def _connect(self) -> None:
        try:
            await super()._connect()  # type: ignore[no-untyped-call]
        finally:
            self._kept = self._writer
