"""Steps that are asked for at the same time and go in one call: a server makes the functions of a
script anew whenever it is called, which takes about as long as all else that a step does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mageflow_core.stores.redis.call import Call, bulks

if TYPE_CHECKING:
    from mageflow_core.stores.redis.call import Written
    from mageflow_core.stores.redis.scripts import Script

MOST = 16  # steps of a call: nobody else is served meanwhile
LONGEST = 16_384  # bytes of the arguments of one of them: what has more goes alone


class Several:
    """Calls of steps, made by one call of a script; see `several.lua`."""

    __slots__ = ("calls", "packed", "script", "written")
    load = False  # a link does that by itself

    def __init__(self, calls: Sequence[Call], script: Script) -> None:
        self.calls = calls
        self.script = script
        self.written: Written | None = None
        keys = [call.key for call in calls]
        words = 3 + len(keys)
        parts: list[bytes | memoryview] = [bulks("EVALSHA", script.sha, len(keys), *keys)]
        for call in calls:
            words += 2 + call.size
            parts += (bulks(call.script.name if call.script else "", call.size), call.arguments)
        self.packed = b"*%d\r\n" % words + b"".join(parts)


def grouped(calls: Sequence[Call], script: Script | None) -> Iterator[Call | Several]:
    """The same calls, those together that may be. script: the one that does several steps."""
    companies: dict[str, list[Call]] = {}
    for call in calls:
        if script is None or call.company is None or len(call.arguments) > LONGEST:
            yield call
        else:
            companies.setdefault(call.company, []).append(call)
    for company in companies.values():
        company.sort(key=lambda call: call.key)  # those of one run are written together
        for first in range(0, len(company), MOST):
            some = company[first : first + MOST]
            yield Several(some, script) if len(some) > 1 and script is not None else some[0]


def steps_of(words: Sequence[str]) -> Iterator[str]:
    """The names of the steps in such a call."""
    at = 3 + int(words[2])
    while at < len(words):
        yield words[at]
        at += 2 + int(words[at + 1])
