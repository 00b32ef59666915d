"""One Redis server: its life, its options, its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mageflow_conformance.servers import Aio, RedisServer, ServerFailed, Wire, WireError
from mageflow_conformance.waiting import eventually_sync

pytestmark = pytest.mark.usefixtures("redis")


def test_a_server_answers_when_start_has_returned_and_is_gone_after_close() -> None:
    # Given
    server = RedisServer()
    # When
    server.start()
    answer, folder, pid = server.call("PING"), server.folder, server.pid
    server.close()
    # Then
    assert answer == "PONG"
    assert not server.is_ready()
    assert not folder.exists()
    assert not runs(pid)


def test_starting_a_server_that_runs_and_stopping_one_that_does_not_change_nothing(
    server: RedisServer,
) -> None:
    # Given
    pid = server.pid
    # When
    server.start()
    # Then
    assert server.pid == pid
    server.stop()
    server.stop()
    server.kill()
    with pytest.raises(ServerFailed, match=r"start\(\) it first"):
        server.pause()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_answered_is_there_after_a_restart_on_the_same_port(
    server: RedisServer, end: str
) -> None:
    # Given
    port, pid = server.port, server.pid
    server.call("SET", "key", "välue 😀")
    # When
    getattr(server, end)()
    server.start()
    # Then
    assert server.call("GET", "key") == "välue 😀"
    assert (server.port, server.pid != pid) == (port, True)


def test_a_server_without_persistence_forgets_everything_at_a_restart() -> None:
    # Given
    with RedisServer() as server:
        server.call("SET", "key", "1")
        # When
        server.restart()
        # Then
        assert server.call("GET", "key") is None
        assert server.info("persistence")["aof_enabled"] == "0"


def test_a_paused_server_answers_nothing_until_it_is_resumed(server: RedisServer) -> None:
    # Given
    impatient = Wire(server.port, timeout=0.1)
    # When
    server.pause()
    # Then
    with pytest.raises(TimeoutError):
        impatient.call("PING")
    server.resume()
    assert server.call("PING") == "PONG"


def test_a_paused_server_can_be_stopped_and_killed(server: RedisServer) -> None:
    # Given
    for end in (server.stop, server.kill):
        pid = server.pid
        server.pause()
        # When
        end()
        # Then
        assert not runs(pid)
        server.start()


def test_passwords_and_users_are_asked_for_and_stand_in_the_urls() -> None:
    # Given
    users = {"app": ("pass word/1", "~{app:* &app:* +@all -@admin")}
    with RedisServer(password='s3 "cret"@/:', users=users) as server:
        # When
        stranger = Wire(server.port)
        app = Wire(server.port, user="app", password="pass word/1")
        # Then
        with pytest.raises(WireError, match="NOAUTH"):
            stranger.call("PING")
        with pytest.raises(WireError, match="WRONGPASS"):
            Wire(server.port, user="app", password="wrong").call("PING")
        assert app.call("SET", "{app:1}:key", "1") == "OK"
        with pytest.raises(WireError, match="NOPERM"):
            app.call("SET", "other", "1")
        assert server.url == f"redis://:s3%20%22cret%22%40%2F%3A@127.0.0.1:{server.port}/0"
        assert server.url_of("app") == f"redis://app:pass%20word%2F1@127.0.0.1:{server.port}/0"
        assert server.call("ACL", "WHOAMI") == "default"


def test_memory_and_further_configuration_are_as_they_were_asked_for() -> None:
    # Given
    options = {"maxmemory": "8mb", "maxmemory_policy": "allkeys-lru"}
    # When
    with RedisServer(**options, config={"databases": "3"}) as server:  # type: ignore[arg-type]
        memory = server.info("memory")
        # Then
        assert memory["maxmemory"] == str(8 * 1024 * 1024)
        assert memory["maxmemory_policy"] == "allkeys-lru"
        assert server.call("CONFIG", "GET", "databases") == ["databases", "3"]


def test_a_server_that_cannot_start_says_why() -> None:
    # Given
    server = RedisServer(config={"no-such-directive": "1"})
    # Then
    with pytest.raises(ServerFailed, match="no-such-directive"):
        server.start()
    server.close()


def test_a_server_that_is_started_on_its_port_again_fails_if_another_has_it(
    server: RedisServer,
) -> None:
    # Given
    second = RedisServer()
    second.port = server.port
    # Then
    with pytest.raises(ServerFailed, match="in use"):
        second.start()
    second.close()
    assert server.call("PING") == "PONG"


def test_two_servers_have_ports_and_folders_of_their_own(server: RedisServer) -> None:
    # When
    with RedisServer() as other:
        # Then
        assert other.port != server.port
        assert other.folder != server.folder


async def test_a_server_is_used_from_an_event_loop_without_blocking_it() -> None:
    # Given
    async with Aio(RedisServer(persistence="aof")) as server:
        server.sync.call("SET", "key", "1")
        # When
        await server.kill()
        assert not server.sync.is_ready()
        await server.start()
        await server.pause()
        await server.resume()
        await server.restart()
        await server.stop()
        await server.start()
        # Then
        assert server.sync.call("GET", "key") == "1"
    assert not server.sync.is_ready()


ORPHANING = """
import os, signal, sys, threading
from mageflow_conformance.servers import RedisServer
server = RedisServer()
starting = threading.Thread(target=server.start)
starting.start()
starting.join()
print(server.port, server.folder, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["killed", "ended"])
def test_a_server_ends_with_the_process_that_started_it_however_that_ends(
    end: str, tmp_path: Path
) -> None:
    # Given a process whose thread has started a server, and is over
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with process:
        assert process.stdout is not None
        port, folder = process.stdout.readline().split()
        wire = Wire(int(port), timeout=1.0)
        assert wire.call("PING") == "PONG"
        # When
        if end == "killed":
            process.kill()
        else:
            process.communicate("\n")
    # Then
    eventually_sync(lambda: not answers(wire), within=10.0, about="the end of the server")
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()


def answers(wire: Wire) -> bool:
    try:
        return bool(wire.call("PING"))
    except OSError:
        return False


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
