"""Ports on the loopback that nobody listens on."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"
BUS = 10_000  # from a Redis Cluster node's port to that of its bus
LAST = 65_535
ATTEMPTS = 200


def free_port() -> int:
    """A port that is free now; another process may take it before it is used."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def free_port_pair() -> int:
    """A port that is free, as is the one 10,000 above it."""
    for _ in range(ATTEMPTS):
        port = free_port()
        if port + BUS <= LAST and is_free(port + BUS):
            return port
    raise OSError(f"no two free ports {BUS} apart after {ATTEMPTS} attempts")


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True
