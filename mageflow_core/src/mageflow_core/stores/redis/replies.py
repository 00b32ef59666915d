"""What the errors of a Redis server mean."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from enum import Enum
from typing import TypeAlias

from redis import exceptions as driver

from mageflow_core.errors import (
    SettingsError,
    StoreBroken,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from mageflow_core.stores.redis.connecting import CONNECT_WITHIN

# Why there is no connection: a part of a sentence where it may stand again by and by, an error
# where connecting again is of no use.
Why: TypeAlias = str | StoreError | SettingsError

# What the driver has taken off the text of an error and put into its class.
CODES: dict[type[Exception], str] = {
    driver.AskError: "ASK",
    driver.BusyLoadingError: "LOADING",
    driver.ClusterCrossSlotError: "CROSSSLOT",
    driver.ClusterDownError: "CLUSTERDOWN",
    driver.MasterDownError: "MASTERDOWN",
    driver.MovedError: "MOVED",
    driver.NoPermissionError: "NOPERM",
    driver.NoScriptError: "NOSCRIPT",
    driver.OutOfMemoryError: "OOM",
    driver.ReadOnlyError: "READONLY",
    driver.TryAgainError: "TRYAGAIN",
}
# What reading raises where there was a reply; with all else the connection is lost.
REPLIES = (driver.ResponseError, driver.AuthenticationError, driver.BusyLoadingError)
CODE = re.compile(r"-?([A-Z]{3,})\b")
INNER = re.compile(r": -([A-Z]{3,}) ")  # Redis 6 wraps what a command in a script has answered
NOT_ALLOWED = re.compile(r"user executing the script can't|[Nn]o permissions")
DATABASE = re.compile(r"DB index|SELECT is not allowed")
NOT_HERE = re.compile(r"access a non local key|while the cluster is down")


class Meaning(Enum):
    AGAIN = "for a while it cannot"
    MOVED = "another server has the slot"
    UNKNOWN_SCRIPT = "it does not have the script"
    FINAL = "asking again would not help"


# A slot that is on its way to another server is waited for, not followed by ASKING: a step takes
# many keys of one slot, and would find some here and some there.
MEANINGS = {
    "ASK": Meaning.AGAIN,
    "BUSY": Meaning.AGAIN,
    "CLUSTERDOWN": Meaning.AGAIN,
    "LOADING": Meaning.AGAIN,
    "MASTERDOWN": Meaning.AGAIN,
    "MOVED": Meaning.MOVED,
    "NOSCRIPT": Meaning.UNKNOWN_SCRIPT,
    "READONLY": Meaning.AGAIN,
    "TRYAGAIN": Meaning.AGAIN,
    "UNBLOCKED": Meaning.AGAIN,
}
DENIED = frozenset({"DENIED", "NOAUTH", "NOPERM", "WRONGPASS"})
UNABLE = {
    "MISCONF": "It cannot write to its disk: see its log, make room, or correct the permissions.",
    "NOREPLICAS": "Too few replicas are connected for its min-replicas-to-write.",
}


def code_of(error: Exception) -> str:
    """The word that the server began the error with, as `OOM`; "" if there is none."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    text = str(error)
    if isinstance(error, driver.AuthenticationError):
        found = CODE.match(text)
        known = found is not None and found[1] in DENIED
        return found[1] if found is not None and known else "WRONGPASS"
    if NOT_ALLOWED.search(text):
        return "NOPERM"
    if NOT_HERE.search(text):
        return "TRYAGAIN"
    if text.startswith("WAIT cannot be used with replica"):
        return "READONLY"
    found = INNER.search(text) or CODE.match(text)
    return found[1] if found else ""


def meaning_of(error: Exception) -> Meaning:
    return MEANINGS.get(code_of(error), Meaning.FINAL)


def moved_to(error: Exception) -> tuple[int, str, int]:
    """The slot, host and port that `MOVED` names; the host is "" for the one that was asked."""
    slot, place = str(error).removeprefix("MOVED ").split()[:2]
    host, _, port = place.rpartition(":")
    return int(slot), host, int(port)


def text_of(error: Exception) -> str:
    """What the server or the driver has said, as a part of a sentence."""
    code, text = code_of(error), str(error).strip().rstrip(".")
    return text if not code or text.startswith(code) or INNER.search(text) else f"{code} {text}"


def error_of(error: Exception, server: str, text: str | None = None) -> StoreError:
    """The error of ours for a reply that asking again would not change."""
    code, text = code_of(error), text or text_of(error)
    if code == "OOM":
        found: StoreError = StoreFull(
            f"The Redis server {server} has no memory left ({text}); nothing was changed. Raise its"
            " maxmemory, or have runs expire sooner by result_ttl."
        )
    elif code in DENIED:
        found = StoreDenied(
            f"The Redis server {server} refuses this user ({text}). Check the user name and the"
            " password in the store's URL, and what the user may do there."
        )
    elif code in UNABLE:
        found = StoreUnavailable(
            f"The Redis server {server} takes no changes ({text}). {UNABLE[code]}"
        )
    else:
        found = StoreBroken(
            f"The Redis server {server} has answered what it should not: {text}. Nothing else may"
            " change the keys of the namespace; if nothing does, this is a defect of MageFlow."
        )
    found.__cause__ = error
    return found


def why_lost(error: Exception, server: str) -> Why:
    """What ended a connection, or kept it from being made."""
    if isinstance(error, SettingsError):
        return error
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_WITHIN:g} s"
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in _behind(error)):
        return StoreDenied(
            f"The certificate of {server} is not accepted ({text_of(error)}). Name the certificate"
            " that vouches for it by ssl_ca_certs=… in the store's URL."
        )
    if isinstance(error, REPLIES) and code_of(error) in DENIED:
        return error_of(error, server)
    if DATABASE.search(str(error)):
        return SettingsError(
            f"{server} has no such database ({text_of(error)}); a cluster has database 0 only."
        )
    return text_of(error) or type(error).__name__


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
