"""For pytest: a missing server fails where it has to be there, and is told of elsewhere."""

from __future__ import annotations

import os

from mageflow_conformance.servers.errors import MissingServer
from mageflow_conformance.servers.programs import find_program


def require_redis() -> str:
    """The path of redis-server.

    Without it, fails the test where `CI` is set, and skips it elsewhere with the way to install
    it as the reason, which the option `-rs` of pytest shows. Needs pytest.
    """
    return _require("redis-server")


def require_rabbit() -> str:
    """The path of rabbitmq-server; else as `require_redis`."""
    return _require("rabbitmq-server")


def require_nats() -> str:
    """The path of nats-server; else as `require_redis`."""
    return _require("nats-server")


def _require(program: str) -> str:
    import pytest  # noqa: PLC0415  # not needed to run the suite from a shell

    try:
        return find_program(program)
    except MissingServer as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
