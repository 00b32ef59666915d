"""One NATS server: its life, its options, its end."""

from __future__ import annotations

from collections.abc import Iterator

import nats
import pytest
from nats.js.client import JetStreamContext

from mageflow_conformance.servers import NatsServer, ServerFailed, require_nats


@pytest.fixture
def server() -> Iterator[NatsServer]:
    require_nats()
    with NatsServer() as running:
        yield running


def test_a_server_answers_when_start_has_returned_and_is_gone_after_close() -> None:
    # Given
    require_nats()
    server = NatsServer()
    # When
    server.start()
    ready, folder = server.is_ready(), server.folder
    server.close()
    # Then
    assert ready
    assert not server.is_ready()
    assert not folder.exists()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_what_a_stream_has_acknowledged_is_there_after_a_restart_on_the_same_port(
    server: NatsServer, end: str
) -> None:
    # Given
    port, pid = server.port, server.pid
    async with await nats.connect(server.url) as client:
        stream: JetStreamContext = client.jetstream()
        await stream.add_stream(name="kept", subjects=["kept.>"])
        await stream.publish("kept.one", b"1")
    # When
    getattr(server, end)()
    server.start()
    # Then
    async with await nats.connect(server.url) as client:
        stream = client.jetstream()
        message = await stream.get_last_msg("kept", "kept.one")
    assert message.data == b"1"
    assert (server.port, server.pid != pid) == (port, True)


def test_a_paused_server_answers_nothing_until_it_is_resumed(server: NatsServer) -> None:
    # When
    server.pause()
    # Then
    assert not server.is_ready()
    server.resume()
    assert server.is_ready()


async def test_further_configuration_is_as_it_was_asked_for() -> None:
    # Given
    require_nats()
    # When
    with NatsServer(config={"max_payload": "4KB"}) as server:
        # Then
        async with await nats.connect(server.url) as client:
            assert client.max_payload == 4096


def test_a_server_that_cannot_start_says_why() -> None:
    # Given
    require_nats()
    server = NatsServer(config={"no_such_thing": "1"})
    # Then
    with pytest.raises(ServerFailed, match="no_such_thing"):
        server.start()
    server.close()


def test_a_server_fails_on_a_port_that_another_has_and_takes_one_of_its_own_otherwise(
    server: NatsServer,
) -> None:
    # Given
    second = NatsServer()
    second.port = server.port
    # Then
    with pytest.raises(ServerFailed, match="in use"):
        second.start()
    second.close()
    with NatsServer() as other:
        assert other.port != server.port
        assert other.folder != server.folder
        assert server.is_ready()
