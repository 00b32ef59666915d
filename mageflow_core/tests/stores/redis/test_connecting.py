"""URLs of servers, and connections by TCP, TLS and Unix sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mageflow_conformance.servers import RedisServer, ServerFailed
from mageflow_core.errors import SettingsError, StoreDenied
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.wire import Wire

OpenWire = Callable[..., Any]
MakeServer = Callable[..., RedisServer]
SECRET = "hun7er2"


# --- URLs -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address()),
        ("redis://localhost", Address()),
        ("redis://localhost:6379/0", Address()),
        ("redis://host:1/", Address(host="host", port=1)),
        ("redis://host:1/12", Address(host="host", port=1, db=12)),
        ("redis://host?db=3", Address(host="host", db=3)),
        ("redis://host/2?db=3", Address(host="host", db=3)),
        ("redis://[::1]:7/1", Address(host="::1", port=7, db=1)),
        ("redis://:pw@host", Address(host="host", password="pw")),
        ("redis://me:pw@host", Address(host="host", username="me", password="pw")),
        ("redis://me@host", Address(host="host", username="me")),
        ("redis://m%40e:p%2Fw%25@host", Address(host="host", username="m@e", password="p/w%")),
        ("redis://host?password=p%26w", Address(host="host", password="p&w")),
        ("redis://host?username=me&password=p", Address(host="host", username="me", password="p")),
        ("rediss://host", Address(host="host", tls={})),
        ("REDISS://host", Address(host="host", tls={})),
        ("rediss://host?ssl_cert_reqs=none", Address(host="host", tls={"ssl_cert_reqs": "none"})),
        ("redis+socket:///run/redis.sock", Address(path="/run/redis.sock")),
        ("redis+socket://:p@/a%20b?db=2", Address(path="/a b", password="p", db=2)),
    ],
)
def test_an_url_names_a_server(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://host:port", "its port is no number"),
        ("redis://host:70000", "its port is no number"),
        ("redis://[::1", "its host is none"),
        (f"redis://me:a/{SECRET}@host", "its port is no number"),
        ("redis://host/x", "the database must be a number"),
        ("redis://host/-1", "the database must be a number"),
        ("redis://host/0/1", "the database must be a number"),
        ("redis://host?db=x", "the database must be a number"),
        ("redis://host/²", "the database must be a number"),
        ("redis://host#x", "a # has no meaning"),
        ("redis://host?timeout", "name=value"),
        ("redis://host?databse=1", "unknown option databse; there are db, username"),
        ("redis://host?usrname=1", "did you mean username?"),
        ("redis://host?ssl_cert_reqs=none", "begin with rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "can be required, optional, none"),
        ("rediss://host?ssl_check_hostname=1", "can be true, false"),
        ("redis+socket://", "the path of the socket is missing"),
        ("redis+socket:///", "the path of the socket is missing"),
        ("memory://", "expected one of redis://, rediss://"),
        ("valkey://host", "expected one of redis://, rediss://"),
    ],
)
def test_an_url_that_names_none_says_why(url: str, why: str) -> None:
    with pytest.raises(SettingsError) as failed:
        Address.parse(url)
    assert why in str(failed.value)
    assert SECRET not in str(failed.value)


TEXT = st.text(min_size=1, max_size=20)


@given(user=TEXT, password=TEXT, db=st.integers(0, 99))
@example(user="default", password="/@:?#[]%&= ü", db=0)
def test_any_user_name_and_password_can_be_in_an_url(user: str, password: str, db: int) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    address = Address.parse(f"redis://{login}@host:1/{db}")
    assert (address.username, address.password, address.db) == (user, password, db)
    options = f"username={quote(user, safe='')}&password={quote(password, safe='')}&db={db}"
    assert Address.parse(f"redis://host:1?{options}") == address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "redis://localhost:6379/0"),
        (f"redis://:{SECRET}@host", "redis://:***@host:6379/0"),
        (f"redis://me:{SECRET}@host:1/2", "redis://me:***@host:1/2"),
        ("redis://me@host", "redis://me@host:6379/0"),
        (f"redis://host?password={SECRET}", "redis://:***@host:6379/0"),
        (f"rediss://:{SECRET}@[::1]?ssl_password={SECRET}", "rediss://:***@[::1]:6379/0"),
        (f"redis+socket://:{SECRET}@/run/redis", "redis+socket://:***@/run/redis"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    address = Address.parse(url)
    assert str(address) == shown
    assert repr(address) == f"Address({shown!r})"
    assert SECRET not in f"{address} {address!r} {[address]} {address.at('other', 7)!r}"


def test_another_server_has_the_same_login() -> None:
    address = Address.parse(f"rediss://me:{SECRET}@host:1?ssl_cert_reqs=none")
    other = address.at("::2", 7)
    assert str(other) == "rediss://me:***@[::2]:7/0"
    assert (other.password, other.tls) == (SECRET, address.tls)
    assert Address.parse("redis+socket:///run/redis").at("host", 7) == Address(host="host", port=7)


def test_a_connection_shows_no_password(caplog: pytest.LogCaptureFixture) -> None:
    for url in (f"redis://me:{SECRET}@host:1/0", f"redis+socket://me:{SECRET}@/run/redis"):
        assert SECRET not in repr(Address.parse(url).connection())


# --- TLS ------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One for 127.0.0.1 that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def tls_server(certificate: tuple[Path, Path], make_server: MakeServer) -> tuple[RedisServer, int]:
    """A server with a password, and its port for TLS."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate[0]),
        "tls-key-file": str(certificate[1]),
        "tls-ca-cert-file": str(certificate[0]),
        "tls-auth-clients": "optional",
    }
    try:
        return make_server(config=config, password=SECRET), port
    except ServerFailed as failed:
        missing = "Bad directive" in str(failed) or "TLS support" in str(failed)
        if missing and not os.environ.get("CI"):
            pytest.skip("this redis-server was built without TLS")
        raise


async def test_a_server_is_called_by_tls(
    tls_server: tuple[RedisServer, int],
    certificate: tuple[Path, Path],
    open_wire: OpenWire,
    echo: Script,
) -> None:
    _, port = tls_server
    url = f"rediss://:{SECRET}@127.0.0.1:{port}/0"
    for options in (f"ssl_ca_certs={certificate[0]}", "ssl_cert_reqs=none"):
        wire = await open_wire(f"{url}?{options}")
        replies = await asyncio.gather(*(wire.call(echo, "k", n) for n in range(100)))
        assert replies == [str(n) for n in range(100)]
        assert await wire.call(echo, "k", "x" * 1_000_000) == "x" * 1_000_000


async def test_a_client_can_show_a_certificate(
    tls_server: tuple[RedisServer, int],
    certificate: tuple[Path, Path],
    open_wire: OpenWire,
    echo: Script,
) -> None:
    # Given a server that takes only clients with one
    server, port = tls_server
    server.call("CONFIG", "SET", "tls-auth-clients", "yes")
    url = f"rediss://:{SECRET}@127.0.0.1:{port}/0?ssl_ca_certs={certificate[0]}"
    # When a client shows it
    wire = await open_wire(f"{url}&ssl_certfile={certificate[0]}&ssl_keyfile={certificate[1]}")
    # Then it is let in
    assert await wire.call(echo, "k", "a") == "a"


async def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    tls_server: tuple[RedisServer, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, port = tls_server
    wire = Wire(Address.parse(f"rediss://:{SECRET}@127.0.0.1:{port}/0"), patience=30)
    with pytest.raises(StoreDenied, match=r"certificate.*ssl_ca_certs") as failed:
        await wire.open()
    assert SECRET not in f"{failed.value} {caplog.text}"


async def test_a_certificate_for_another_name_is_refused(
    tls_server: tuple[RedisServer, int],
    certificate: tuple[Path, Path],
    open_wire: OpenWire,
    echo: Script,
) -> None:
    _, port = tls_server
    url = f"rediss://:{SECRET}@localhost:{port}/0?ssl_ca_certs={certificate[0]}"
    wire = Wire(Address.parse(url), patience=30)
    with pytest.raises(StoreDenied, match="certificate"):
        await wire.open()
    wire = await open_wire(f"{url}&ssl_check_hostname=false")
    assert await wire.call(echo, "k", "a") == "a"


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_a_certificate_that_cannot_be_read_is_a_setting_to_change(
    option: str, tmp_path: Path
) -> None:
    for path in (tmp_path / "missing.pem", tmp_path):
        url = f"rediss://:{SECRET}@localhost:1?{option}={path}&ssl_password={SECRET}"
        wire = Wire(Address.parse(url), patience=30)
        with pytest.raises(SettingsError, match=f"{option}=") as failed:
            await wire.open()
        assert SECRET not in str(failed.value)


def test_certificates_are_asked_for_unless_they_are_not_wanted() -> None:
    def context(options: str) -> Any:
        return vars(Address.parse(f"rediss://host{options}").connection())["_context"]

    assert context("").verify_mode == ssl.CERT_REQUIRED
    assert context("").check_hostname is True
    assert context("?ssl_cert_reqs=required").check_hostname is True
    assert context("?ssl_check_hostname=false").verify_mode == ssl.CERT_REQUIRED
    assert context("?ssl_check_hostname=false").check_hostname is False
    assert context("?ssl_cert_reqs=none").verify_mode == ssl.CERT_NONE


# --- Unix sockets and passwords -------------------------------------------------------------------
async def test_a_server_is_called_by_its_socket(
    make_server: MakeServer, open_wire: OpenWire, echo: Script, tmp_path: Path
) -> None:
    path = tmp_path / "redis.sock"
    server = make_server(config={"unixsocket": str(path)}, password=SECRET)
    wire = await open_wire(f"redis+socket://:{SECRET}@{path}")
    replies = await asyncio.gather(*(wire.call(echo, "k", n) for n in range(100)))
    assert replies == [str(n) for n in range(100)]
    await wire.command("SET", "a", 1, key="a")
    other = await open_wire(f"redis+socket://:{SECRET}@{path}?db=1")
    assert await other.command("GET", "a", key="a") is None
    assert server.call("GET", "a") == "1"


@pytest.mark.parametrize("password", ["simple", "a b", 'q"u', "p@ss/w:rd?#%", "ü"])
async def test_users_log_in(
    make_server: MakeServer, open_wire: OpenWire, echo: Script, password: str
) -> None:
    server = make_server(users={"me": (password, "~* &* +@all")}, password="other")
    wire = await open_wire(server.url_of("me"))
    assert await wire.command("ACL", "WHOAMI", key="k") == "me"
    wire = await open_wire(server.url)
    assert await wire.command("ACL", "WHOAMI", key="k") == "default"


async def test_no_command_is_sent_that_nobody_has_asked_for(open_wire: OpenWire, fake: Any) -> None:
    def handle(words: list[str]) -> str:
        return "-ERR no cluster" if words[0] == "CLUSTER" else "+PONG"

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        await wire.command("PING", key="k")
        assert server.seen == [["CLUSTER", "SLOTS"], ["PING"]]
        await wire.close()
