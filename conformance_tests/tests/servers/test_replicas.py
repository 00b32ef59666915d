"""Replicas of a Redis server, and taking its place."""

from __future__ import annotations

import pytest

from mageflow_conformance.servers import RedisReplica, RedisServer, ServerFailed

pytestmark = pytest.mark.usefixtures("redis")


def test_a_replica_has_what_its_master_has_and_takes_its_place() -> None:
    # Given
    with RedisServer(password="pw") as master:
        master.call("SET", "before", "1")
        with RedisReplica(of=master, password="pw") as replica:
            master.call("SET", "after", "2")
            replica.catch_up()
            assert [replica.call("GET", key) for key in ("before", "after")] == ["1", "2"]
            # When
            master.kill()
            replica.promote()
            # Then
            assert replica.call("SET", "after", "3") == "OK"
            assert replica.info("replication")["role"] == "master"


def test_a_promoted_replica_stays_a_master_over_restarts_and_has_nobody_to_catch_up_with() -> None:
    # Given
    with RedisServer() as master, RedisReplica(of=master, persistence="aof") as replica:
        replica.promote()
        replica.call("SET", "key", "mine")
        # When
        replica.restart()
        # Then
        assert replica.info("replication")["role"] == "master"
        assert replica.call("GET", "key") == "mine"
        with pytest.raises(ServerFailed, match="promoted"):
            replica.catch_up()


def test_a_replica_that_is_restarted_follows_its_master_again() -> None:
    # Given
    with RedisServer() as master, RedisReplica(of=master) as replica:
        replica.kill()
        master.call("SET", "key", "1")
        # When
        replica.start()
        # Then
        assert replica.is_linked()
        assert replica.call("GET", "key") == "1"
