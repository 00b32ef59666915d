"""What a Redis server can and cannot promise as it is set up."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from mageflow_core.errors import StoreBroken, StoreDenied, StoreUnsuitable
from mageflow_core.stores.protocol import Finding
from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.serverinfo import EVICTING, KEEP, OLDEST, UPGRADE, Server, judge
from mageflow_core.stores.redis.slots import SLOTS
from mageflow_core.stores.redis.wire import Wire

ROUND_TRIPS = 20
SLOW = 0.005  # seconds for a round trip
SKEWED = 1.0  # seconds between two clocks
HEARD_WITHIN = 2.0  # seconds for something published to be heard
MANY_SCRIPTS = 500


async def refuse_evicting(wire: Wire) -> None:
    """Raises `StoreUnsuitable` if a server deletes keys when its memory is full, or is too old.

    What a user may not ask is let pass: `examine` says so.
    """
    for server in await _servers(wire):
        if server.version < OLDEST:
            raise StoreUnsuitable(f"{wire.address} is {server.name}, which is too old. {UPGRADE}")
        policy = server.info.get("maxmemory_policy", "")
        if policy.startswith(EVICTING):
            raise StoreUnsuitable(f"{wire.address} has the maxmemory-policy {policy}. {KEEP}")


async def examine(
    wire: Wire, scripts: Iterable[Script] = (), *, namespace: str = "mageflow"
) -> list[Finding]:
    """Look at everything that the guarantees depend on. Changes nothing.

    scripts: those that should be loaded once they were used. namespace: begins the name of a
    channel that is tried out. Raises `StoreUnavailable`.
    """
    servers = await _servers(wire)
    found: list[Finding] = []
    if not servers:
        found.append(_unknown("server", "INFO"))
    settings = await _settings(wire) or [{}] * len(servers)
    for server, own in zip(servers, settings, strict=False):
        found += judge(server, own, wire.wait_replicas)
    if wire.clustered:
        found.append(await _cluster(wire))
    found += [
        await _latency(wire, namespace),
        await _clock(wire),
        await _scripts(wire, list(scripts), servers),
        await _signals(wire, namespace),
    ]
    return found


# --- asking ---------------------------------------------------------------------------------------
async def _ask(wire: Wire, *command: str) -> list[Any] | None:
    """All servers' replies, `None` where this user may not ask, or nobody may."""
    try:
        return await wire.everywhere(*command)
    except (StoreDenied, StoreBroken):
        return None


async def _servers(wire: Wire) -> list[Server]:
    texts = await _ask(wire, "INFO") or []
    places = [f"{address.host}:{address.port}" for address in wire.addresses()]
    return [
        Server(place if len(texts) > 1 else "", _pairs(text.splitlines()))
        for place, text in zip(places, texts, strict=False)
    ]


def _pairs(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


async def _settings(wire: Wire) -> list[dict[str, str]] | None:
    replies = []
    for name in ("appendfsync", "save"):
        reply = await _ask(wire, "CONFIG", "GET", name)
        if reply is None:
            return None
        replies.append(reply)
    return [
        {name: value for reply in own for name, value in zip(reply[::2], reply[1::2], strict=True)}
        for own in zip(*replies, strict=True)
    ]


def _unknown(subject: str, command: str) -> Finding:
    return Finding(
        subject=subject,
        state="warning",
        text=f"this user may not ask: {command} is refused",
        advice=f"Allow it for this user (ACL SETUSER … +{command.lower().replace(' ', '|')}), or"
        " look at the server yourself.",
    )


# --- trying out -----------------------------------------------------------------------------------
async def _cluster(wire: Wire) -> Finding:
    replies = await _ask(wire, "CLUSTER", "INFO")
    if replies is None:
        return _unknown("cluster", "CLUSTER INFO")
    states = [_pairs(text.splitlines()) for text in replies]
    text = f"{len(replies)} masters"
    slots = min(int(each.get("cluster_slots_ok", 0)) for each in states)
    if slots < SLOTS or any(each.get("cluster_state") != "ok" for each in states):
        text += f", {slots} of {SLOTS} slots served"
        advice = (
            "Bring its servers back (CLUSTER NODES says which are away): runs there stand still."
        )
        return Finding(subject="cluster", state="problem", text=text, advice=advice)
    return Finding(subject="cluster", state="ok", text=text + ", all slots served")


async def _latency(wire: Wire, namespace: str) -> Finding:
    times = []
    try:
        for _ in range(ROUND_TRIPS):
            begun = time.perf_counter()
            await wire.command("PING", key=namespace)
            times.append(time.perf_counter() - begun)
    except (StoreDenied, StoreBroken):
        return _unknown("latency", "PING")
    middle = median(times)
    text = f"{middle * 1000:.2g} ms for a round trip"
    if middle > SLOW:
        advice = "Each attempt of a task takes two: run the workers nearer to the server."
        return Finding(subject="latency", state="warning", text=text, advice=advice)
    return Finding(subject="latency", state="ok", text=text)


async def _clock(wire: Wire) -> Finding:
    before = time.time()
    replies = await _ask(wire, "TIME")
    after = time.time()
    if replies is None:
        return _unknown("clock", "TIME")
    theirs = [int(seconds) + int(micros) / 1_000_000 for seconds, micros in replies]
    skew = max(max(each - after, before - each, 0.0) for each in theirs)
    if skew > SKEWED:
        return Finding(
            subject="clock",
            state="warning",
            text=f"{skew:.1f} s between the server's clock and this machine's",
            advice="Keep both by NTP: all times are the server's, and look wrong here.",
        )
    return Finding(subject="clock", state="ok", text="the server's agrees with this machine's")


async def _scripts(wire: Wire, scripts: Sequence[Script], servers: Sequence[Server]) -> Finding:
    digests = [script.sha for script in scripts]
    replies = await _ask(wire, "SCRIPT", "EXISTS", *digests) if digests else [[]]
    if replies is None:
        return _unknown("scripts", "SCRIPT EXISTS")
    loaded = min(sum(reply) for reply in replies)
    text = f"{loaded} of {len(digests)} are loaded; others are when they are first used"
    cached = max((server.number("number_of_cached_scripts") for server in servers), default=0)
    if cached > MANY_SCRIPTS:
        return Finding(
            subject="scripts",
            state="warning",
            text=f"{text}; {cached} are in the server's memory",
            advice="Somebody makes a new script for each call there; let them pass arguments.",
        )
    return Finding(subject="scripts", state="ok", text=text)


async def _signals(wire: Wire, namespace: str) -> Finding:
    heard = asyncio.Event()
    channel = Channel(wire.address, on_silence=lambda: None, others=wire.addresses)
    name = f"{namespace}:doctor:{secrets.token_hex(8)}"
    problem = None
    await channel.open()
    try:
        await channel.listen(name, lambda text: heard.set() if text else None)
        async with asyncio.timeout(HEARD_WITHIN):
            await wire.command("PUBLISH", name, "heard?", key=name)
            await heard.wait()
    except (StoreDenied, StoreBroken) as error:
        problem = f"this user may not publish or listen: {error}"
    except TimeoutError:
        problem = f"what was published was not heard within {HEARD_WITHIN:g} s"
    finally:
        await channel.close()
    if problem is not None:
        return Finding(
            subject="signals",
            state="warning",
            text=problem,
            advice=f"Allow the channels &{namespace}:*: without them cancel and interrupt reach"
            " running tasks only when a lease is renewed.",
        )
    return Finding(subject="signals", state="ok", text="what is published is heard")
