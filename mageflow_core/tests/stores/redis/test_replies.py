"""What the errors of servers mean, as each version of Redis and of its driver words them."""

from __future__ import annotations

import ssl

import pytest
from redis import exceptions as driver

from mageflow_core.errors import (
    SettingsError,
    StoreBroken,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from mageflow_core.stores.redis.replies import (
    Meaning,
    code_of,
    error_of,
    meaning_of,
    moved_to,
    text_of,
    why_lost,
)

SERVER = "redis://host:1/0"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (driver.OutOfMemoryError("command not allowed."), "OOM", "OOM command not allowed"),
        (driver.ResponseError("OOM command not allowed"), "OOM", "OOM command not allowed"),
        (driver.ReadOnlyError("You can't write."), "READONLY", "READONLY You can't write"),
        (driver.BusyLoadingError("Redis is loading"), "LOADING", "LOADING Redis is loading"),
        (driver.NoPermissionError("no permissions"), "NOPERM", "NOPERM no permissions"),
        (driver.AuthenticationError("invalid pair"), "WRONGPASS", "WRONGPASS invalid pair"),
        (driver.AuthenticationError("NOAUTH needed"), "NOAUTH", "NOAUTH needed"),
        (driver.ResponseError("BUSY Redis is busy"), "BUSY", "BUSY Redis is busy"),
        (driver.ResponseError("DENIED Redis is protected"), "DENIED", "DENIED Redis is protected"),
        (driver.ResponseError("Error in a script"), "", "Error in a script"),
        (
            driver.ResponseError("Error running script (call to f): @user_script:1: -OOM full"),
            "OOM",
            "Error running script (call to f): @user_script:1: -OOM full",
        ),
        (
            driver.ResponseError("The user executing the script can't run this command"),
            "NOPERM",
            "NOPERM The user executing the script can't run this command",
        ),
        (
            driver.ResponseError("WAIT cannot be used with replica instances"),
            "READONLY",
            "READONLY WAIT cannot be used with replica instances",
        ),
        (driver.ConnectionError("Connection closed by server."), "", "Connection closed by server"),
    ],
)
def test_an_error_has_a_code(error: Exception, code: str, text: str) -> None:
    assert code_of(error) == code
    assert text_of(error) == text


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (driver.MovedError("3999 127.0.0.1:6381"), (3999, "127.0.0.1", 6381)),
        (driver.MovedError("3999 ::1:6381"), (3999, "::1", 6381)),
        (driver.MovedError("3999 :6381"), (3999, "", 6381)),
        (driver.ResponseError("MOVED 3999 127.0.0.1:6381"), (3999, "127.0.0.1", 6381)),
    ],
)
def test_the_place_of_a_slot_is_read(error: Exception, place: tuple[int, str, int]) -> None:
    assert meaning_of(error) is Meaning.MOVED
    assert moved_to(error) == place


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        ("OOM command not allowed", StoreFull, "result_ttl"),
        ("NOPERM this user has no permissions", StoreDenied, "what the user may do"),
        ("NOAUTH Authentication required", StoreDenied, "password"),
        ("DENIED Redis is running in protected mode", StoreDenied, "password"),
        ("MISCONF Errors writing to the AOF file", StoreUnavailable, "disk"),
        ("NOREPLICAS Not enough good replicas", StoreUnavailable, "min-replicas-to-write"),
        ("WRONGTYPE Operation against a key", StoreBroken, "defect"),
        ("user_script:3: bad argument", StoreBroken, "defect"),
    ],
)
def test_errors_that_stay_are_ours(text: str, kind: type[Exception], advice: str) -> None:
    reply = driver.ResponseError(text)
    assert meaning_of(reply) is Meaning.FINAL
    error = error_of(reply, SERVER)
    assert type(error) is kind
    assert error.__cause__ is reply
    assert SERVER in str(error)
    assert text in str(error)
    assert advice in str(error)


def test_the_text_of_an_error_can_be_replaced() -> None:
    assert "claim.lua:3" in str(
        error_of(driver.ResponseError("user_script:9"), SERVER, "claim.lua:3")
    )


def test_a_connection_that_may_stand_again_was_lost_for_a_reason() -> None:
    assert why_lost(driver.ConnectionError("Connection closed."), SERVER) == "Connection closed"
    assert why_lost(TimeoutError(), SERVER) == "no connection within 5 s"
    assert why_lost(OSError(), SERVER) == "OSError"
    assert why_lost(driver.BusyLoadingError("loading"), SERVER) == "LOADING loading"


def test_a_connection_that_cannot_be_made_has_an_error_of_ours() -> None:
    wrong = SettingsError("no such file")
    assert why_lost(wrong, SERVER) is wrong
    assert type(why_lost(driver.AuthenticationError("no"), SERVER)) is StoreDenied
    assert type(why_lost(driver.ResponseError("DB index is out of range"), SERVER)) is SettingsError
    lost = driver.ConnectionError("Error 1 connecting to host:1.")
    lost.__context__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    assert type(why_lost(lost, SERVER)) is StoreDenied
