"""One RabbitMQ server: its life, its options, its end.

It takes seconds to start, so most tests share one and leave it running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aio_pika
import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import ChannelNotFoundEntity

from mageflow_conformance.servers import RabbitServer, ServerFailed, require_rabbit
from mageflow_conformance.waiting import eventually_sync

ProcessesOf = Callable[[Path], list[int]]

LISTENS = "0A"  # as Linux writes it
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RabbitServer]:
    require_rabbit()
    with RabbitServer() as running:
        yield running


@pytest.fixture
def server(shared_server: RabbitServer) -> RabbitServer:
    """Every test finds it running."""
    shared_server.start()
    return shared_server


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_persistent_messages_in_durable_queues_are_there_after_a_restart_on_the_same_port(
    server: RabbitServer, end: str
) -> None:
    # Given
    port, pid = server.port, server.pid
    queue = f"outlives-{end}"
    await send(server, queue=queue, messages=20)
    server.settle(queue)
    # When
    getattr(server, end)()
    assert not runs(pid)
    server.start()
    # Then
    assert await waiting(server.url, queue=queue) == 20
    assert (server.port, server.pid != pid) == (port, True)


async def test_quorum_queues_that_were_written_down_outlive_a_kill(server: RabbitServer) -> None:
    await send(server, queue="elected", messages=3, kind="quorum")
    server.settle()
    server.kill()
    server.start()
    await send(server, queue="elected", messages=1, kind="quorum")
    assert await waiting(server.url, queue="elected") == 4


@pytest.mark.parametrize(
    ("log", "table", "written"),
    [
        (b"", b"", False),
        (b"other .. committed", b"other", False),
        (b"queue mine .. presume_abort", b"", False),
        (b"other .. committed queue mine .. presume_abort", b"", False),
        (b"queue mine .. presume_abort tid committed", b"", True),
        (b"", b"queue mine", True),
    ],
)
def test_a_queue_is_written_down_when_that_is_decided(
    tmp_path: Path, log: bytes, table: bytes, *, written: bool
) -> None:
    # Given
    server = RabbitServer()
    server._folder = tmp_path
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "LATEST.LOG").write_bytes(log)
    (tmp_path / "node" / "rabbit_durable_queue.DCL").write_bytes(table)
    # Then
    assert server._has_written("mine") is written


def test_a_paused_server_answers_nothing_until_it_is_resumed(server: RabbitServer) -> None:
    # When
    server.pause()
    # Then
    assert not server.is_ready()
    server.resume()
    assert server.is_ready()


def test_starting_a_server_that_runs_changes_nothing(server: RabbitServer) -> None:
    # Given
    pid = server.pid
    # When
    server.start()
    # Then
    assert server.pid == pid


def test_a_server_listens_on_one_port_and_starts_no_epmd(
    server: RabbitServer, processes_of: ProcessesOf
) -> None:
    # When
    family = processes_of(server.folder)
    # Then
    assert server.pid in family
    assert "epmd" not in {name(pid) for pid in family}
    assert {port for pid in family for port in listening(pid)} == {server.port}


async def test_two_servers_are_two_and_one_that_is_closed_leaves_nothing(
    server: RabbitServer, processes_of: ProcessesOf
) -> None:
    # Given
    await send(server, queue="mine", messages=1)
    # When
    with RabbitServer(config={"default_vhost": "trial"}) as other:
        folder = other.folder
        # Then
        assert (other.port != server.port, folder != server.folder) == (True, True)
        with pytest.raises(ChannelNotFoundEntity):
            await waiting(other.url + "trial", queue="mine")
    eventually_sync(lambda: not processes_of(folder), about="the end of all that it had started")
    assert not folder.exists()
    assert await waiting(server.url, queue="mine") == 1


def test_a_server_that_cannot_start_says_why() -> None:
    # Given
    require_rabbit()
    server = RabbitServer(config={"no_such_thing": "1"})
    # Then
    with pytest.raises(ServerFailed, match="no_such_thing"):
        server.start()
    server.close()


def test_a_server_fails_on_a_port_that_another_has(server: RabbitServer) -> None:
    # Given
    second = RabbitServer()
    second.port = server.port
    # Then
    with pytest.raises(ServerFailed, match="eaddrinuse"):
        second.start()
    second.close()
    assert server.is_ready()


async def send(server: RabbitServer, *, queue: str, messages: int, kind: str = "classic") -> None:
    """Returns when the server has confirmed them."""
    async with await aio_pika.connect(server.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": kind})
        for number in range(messages):
            message = Message(str(number).encode(), delivery_mode=DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, routing_key=queue)


async def waiting(url: str, *, queue: str) -> int | None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        found = await channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count


def name(pid: int) -> str:
    with suppress(OSError):  # it has ended since it was seen, as what asks for the disk's size does
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    return ""


def listening(pid: int) -> set[int]:
    """The ports on which a process waits for others."""
    ports, held = {}, set()
    with suppress(OSError):
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text("utf-8").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS:
                    ports[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed since it was seen
                held.add(str(file.readlink()))
    return {port for socket, port in ports.items() if socket in held}


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
