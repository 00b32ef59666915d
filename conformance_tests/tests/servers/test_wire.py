"""The few words of Redis's protocol that tests speak."""

from __future__ import annotations

import io
import socket

import pytest

from mageflow_conformance.servers import RedisServer, Wire, WireError
from mageflow_conformance.servers.ports import free_port, free_port_pair, is_free
from mageflow_conformance.servers.wire import decode, encode

pytestmark = pytest.mark.usefixtures("redis")


def test_commands_are_written_as_lists_of_texts() -> None:
    assert encode(("SET", "é", 1)) == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$1\r\n1\r\n"


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":-3\r\n", -3),
        (b"$-1\r\n", None),
        (b"$0\r\n\r\n", ""),
        (b"$4\r\na\r\nb\r\n", "a\r\nb"),
        (b"*-1\r\n", None),
        (b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n", [[1], "x"]),
    ],
)
def test_answers_are_read(answer: bytes, value: object) -> None:
    assert decode(io.BytesIO(answer)) == value


def test_errors_and_what_is_not_understood_are_raised() -> None:
    with pytest.raises(WireError, match="ERR no"):
        decode(io.BytesIO(b"-ERR no\r\n"))
    with pytest.raises(WireError, match="not understood"):
        decode(io.BytesIO(b"%1\r\n"))
    with pytest.raises(ConnectionError):
        decode(io.BytesIO(b"+half an ans"))


def test_several_commands_are_answered_over_one_connection(server: RedisServer) -> None:
    # Given
    wire = Wire(server.port)
    # When
    answers = wire.call_all([("SELECT", 5), ("SET", "a", "x" * 100_000), ("STRLEN", "a")])
    # Then
    assert answers == ["OK", "OK", 100_000]
    assert wire.call("EXISTS", "a") == 0, "another connection is in database 0"


def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with pytest.raises(ConnectionRefusedError):
        Wire(free_port()).call("PING")


def test_ports_are_free_until_somebody_takes_them() -> None:
    # Given
    port = free_port_pair()
    assert is_free(port)
    assert is_free(port + 10_000)
    # When
    with socket.create_server(("127.0.0.1", port)):
        # Then
        assert not is_free(port)
