"""What a Redis server says of itself, and what that means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mageflow_core.stores.protocol import Finding

OLDEST = (6, 2)
EVICTING = "allkeys-"
FULL, FILLING = 0.95, 0.8  # of the memory that there is
KEEP = "Set maxmemory-policy to noeviction: an evicting server deletes runs that are not over."
KILO = 1000
UPGRADE = "Use Redis 6.2 or newer, or Valkey."
ALWAYS = "Set appendonly yes and appendfsync always to keep everything."

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Server:
    """What one server says of itself. place: which of several it is, "" if it is the only one."""

    place: str
    info: dict[str, str]

    @property
    def version(self) -> tuple[int, ...]:
        """That of Redis, whose commands it has."""
        return tuple(int(part) for part in re.findall(r"\d+", self._redis)[:3])

    @property
    def name(self) -> str:
        valkey = self.info.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {self._redis}"

    @property
    def _redis(self) -> str:
        return self.info.get("redis_version", "of an unknown version")

    def number(self, name: str) -> int:
        return int(self.info.get(name) or 0)

    def finding(self, subject: str, state: State, text: str, advice: str = "") -> Finding:
        where = f"{self.place}: " if self.place else ""
        return Finding(subject=subject, state=state, text=where + text, advice=advice)


def judge(server: Server, settings: dict[str, str], wait_replicas: int) -> list[Finding]:
    """settings: those of `CONFIG GET` that could be asked for."""
    return [
        _version(server),
        _persistence(server, settings),
        _eviction(server),
        _memory(server),
        _replication(server, wait_replicas),
    ]


def _version(server: Server) -> Finding:
    if server.version < OLDEST:
        return server.finding("server", "problem", f"{server.name} is too old", UPGRADE)
    return server.finding("server", "ok", server.name)


def _persistence(server: Server, settings: dict[str, str]) -> Finding:
    def found(state: State, text: str, advice: str = "") -> Finding:
        return server.finding("persistence", state, text, advice)

    info = server.info
    if info.get("aof_last_write_status") == "err" or info.get("rdb_last_bgsave_status") == "err":
        return found(
            "problem",
            "the last attempt to write to the disk has failed",
            "See the server's log, make room on its disk, or correct the permissions.",
        )
    if info.get("aof_enabled") == "1":
        fsync = settings.get("appendfsync")
        if fsync == "always":
            return found("ok", "appendfsync always: what is acknowledged outlives a crash")
        if fsync == "everysec":
            lost = "appendfsync everysec: a crash may lose the last second"
            return found("warning", lost, ALWAYS)
        if fsync is None:
            unknown = "an append-only file is written; how often, this user may not ask"
            return found("warning", unknown, "See that appendfsync is always or everysec.")
        lost = f"appendfsync {fsync}: a crash of the machine may lose half a minute or more"
        return found("warning", lost, "Set appendfsync always, or at least everysec.")
    save = settings.get("save")
    if save:
        lost = f"snapshots only (save {save}): a crash loses all since the last one"
        return found("warning", lost, ALWAYS)
    if save is None:
        unknown = "no append-only file: a crash loses all since the last snapshot, if there is one"
        return found("warning", unknown, ALWAYS)
    return found("warning", "nothing is written to a disk: all runs go with the server", ALWAYS)


def _eviction(server: Server) -> Finding:
    policy = server.info.get("maxmemory_policy", "unknown")
    if policy.startswith(EVICTING):
        return server.finding("eviction", "problem", f"maxmemory-policy {policy}", KEEP)
    if policy != "noeviction":
        text = f"maxmemory-policy {policy}: runs are kept, as their keys have no expiry"
        return server.finding("eviction", "warning", text, "Better set it to noeviction.")
    return server.finding("eviction", "ok", "maxmemory-policy noeviction")


def _memory(server: Server) -> Finding:
    used, most = server.number("used_memory"), server.number("maxmemory")
    limited = bool(most)
    most = most or server.number("total_system_memory")
    of = f"{_size(used)} of {_size(most)} are used" if most else f"{_size(used)} are used"
    text = of + ("" if limited else "; maxmemory is not set")
    share = used / most if most else 0.0
    advice = "Raise maxmemory, or have runs expire sooner by result_ttl."
    if share >= FILLING:
        return server.finding("memory", "problem" if share >= FULL else "warning", text, advice)
    return server.finding("memory", "ok", text)


def _replication(server: Server, wanted: int) -> Finding:
    def found(state: State, text: str, advice: str = "") -> Finding:
        return server.finding("replicas", state, text, advice)

    if server.info.get("role") == "slave":
        return found("problem", "this is a replica", "Name its master in the store's URL.")
    count = server.number("connected_slaves")
    text = f"{count or 'no'} replica{'s' * (count != 1)}"
    if wanted > count:
        return found(
            "problem",
            f"{text}, while wait_replicas is {wanted}: steps wait for nothing",
            "Connect replicas, or lower wait_replicas.",
        )
    if count and not wanted:
        lost = f"{text}, none waited for: a failover may lose the last steps"
        return found("warning", lost, "Set wait_replicas to 1.")
    return found("ok", text + (f", {wanted} waited for" if wanted else ""))


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < KILO:
            return f"{size:.3g} {unit}"
        size /= KILO
    return f"{size:.3g} TB"
