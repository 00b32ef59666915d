"""Where the programs of servers are."""

from __future__ import annotations

import shutil

from mageflow_conformance.servers.errors import MissingServer

ADVICE = {
    "redis-server": (
        "Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey-compat-redis; "
        "macOS: brew install redis; or run the tests with ./scripts/test, which installs it"
    ),
}


def find_program(name: str) -> str:
    """The path of a server's program. Raises `MissingServer`."""
    found = shutil.which(name)
    if found is None:
        raise MissingServer(f"{name} is not on PATH. {ADVICE[name]}.")
    return found
