"""What happens where a server's program is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mageflow_conformance.servers import MissingServer, RedisServer, require_redis
from mageflow_conformance.servers.programs import find_program


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_program_that_is_there_is_found() -> None:
    assert Path(require_redis()).name == "redis-server"
    assert require_redis() == find_program("redis-server")


@pytest.mark.usefixtures("nothing_installed")
def test_a_server_without_its_program_says_how_to_install_it() -> None:
    # Given
    server = RedisServer()
    # Then
    with pytest.raises(MissingServer, match="apt-get install redis-server"):
        server.start()
    server.close()


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_server_fails_a_test_where_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setenv("CI", "true")
    # Then
    with pytest.raises(pytest.fail.Exception, match="redis-server is not on PATH"):
        require_redis()


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_server_skips_a_test_elsewhere_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    monkeypatch.delenv("CI", raising=False)
    # Then
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        require_redis()
