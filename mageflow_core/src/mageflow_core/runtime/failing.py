"""From an exception to what is kept of it, and to whether there is another attempt."""

from __future__ import annotations

import random
import traceback

from mageflow_core.backends import RetryAsked
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.machine import Failed, Failure
from mageflow_core.serialization import dumps
from mageflow_core.signatures.options import Retry
from mageflow_core.stores.protocol import Work

TRACEBACK_LIMIT = 32_768  # characters; the end tells most
MESSAGE_LIMIT = 8_192  # characters; here it is the beginning


def failed(
    error: BaseException,
    work: Work,
    cause: Cause,
    *,
    retry: Retry | None = None,
    held: bool = False,
    used_previous: bool = False,
) -> Failed:
    """What to report of a failed attempt. Without `retry` it is the last one."""
    again = retry is not None and work.attempt <= retry.retries and retry.applies_to(error)
    return Failed(
        failure=Failure(cause, dumps(info(error, work, cause).to_json())),
        retry_in=_delay(error, work, retry) if again and retry else None,
        held=held and again,
        used_previous=used_previous,
    )


def _delay(error: BaseException, work: Work, retry: Retry) -> float:
    if isinstance(error, RetryAsked):
        return error.delay
    return retry.delay_before(work.attempt, random.random())  # noqa: S311 - jitter


def info(error: BaseException, work: Work, cause: Cause) -> ErrorInfo:
    text = "".join(traceback.format_exception(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return ErrorInfo(
        cause=cause,
        type=type_name(error),
        message=_text_of(error),
        traceback=_readable(text[-TRACEBACK_LIMIT:]),
        caused_by=f"{type_name(before)}: {_text_of(before)}" if before is not None else "",
        task=getattr(work.signature, "task", None),
        key=work.key,
        attempts=work.attempt,
    )


def type_name(error: BaseException) -> str:
    cls = type(error)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an error that cannot be shown is one all the same
        text = f"<its text cannot be read: {type_name(broken)}>"
    return _readable(text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]}…")


def _readable(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8, and must not hide an error."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
