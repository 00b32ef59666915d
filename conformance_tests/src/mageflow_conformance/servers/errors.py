"""What can go wrong with a server that a test wants to have."""

from __future__ import annotations


class MissingServer(Exception):
    """The server's program is not found; the message says how to install it."""


class ServerFailed(Exception):
    """The server did not start, or did not do what it was told; the message has its log's end."""
