"""What the simulated bodies do: their task's name says it, up to the first dash.

Results are digests of all that a body was given, so that a wrong input changes the result of
everything after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.machine import Continued, Done, Failed, Failure, Outcome
from mageflow_core.signatures.signature import Signature, TaskSignature
from mageflow_core.stores.protocol import Work

# ok, bad: ends so. flaky: fails once. pass: hands its own message on. again: returns what the
# book has under its name, and a plain task where it has nothing; branch: likewise, and that gets
# the node's message as previous result.
BEHAVIOURS = ("ok", "ok", "ok", "pass", "flaky", "again", "branch", "bad")

BOOK: dict[str, Signature[Any]] = {}


def does(name: str) -> str:
    return name.partition("-")[0]


def next_of(name: str) -> Signature[Any]:
    """What the body of such a task returns."""
    return BOOK.get(name) or TaskSignature(task=f"ok-after-{name}")


def digest(name: str, message: str, previous: str | None, dependencies: Mapping[str, str]) -> str:
    given = json.dumps([name, message, previous, dict(dependencies)])
    return json.dumps(hashlib.md5(given.encode()).hexdigest()[:12])


def failure_of(work: Work, cause: Cause = Cause.BODY, text: str = "no luck") -> Failure:
    """As a worker would make it: complete enough to act on."""
    task = work.signature.task if isinstance(work.signature, TaskSignature) else None
    info = ErrorInfo(
        cause=cause,
        type="builtins.ValueError",
        message=text,
        traceback="Traceback (most recent call last): …",
        task=task,
        key=work.key,
        attempts=work.attempt,
    )
    return Failure(cause, json.dumps(info.to_json()))


def outcome_of(work: Work) -> Outcome:
    """How the body of this work ends when nobody interferes."""
    assert isinstance(work.signature, TaskSignature)
    name = work.signature.task
    given = work.input
    uses = given.previous is not None
    match does(name):
        case "bad":
            return Failed(failure=failure_of(work), used_previous=uses)
        case "flaky" if work.attempt == 1:
            return Failed(failure=failure_of(work), retry_in=3.0, used_previous=uses)
        case "pass":
            return Done(value="null", passes=True, used_previous=uses)
        case "again" | "branch" as kind:
            return Continued(signature=next_of(name), message_only=kind == "branch")
        case _:
            value = digest(name, given.message, given.previous, given.dependencies)
            return Done(value=value, used_previous=uses)
