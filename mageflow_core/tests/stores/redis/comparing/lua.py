"""The store's scripts, with time, limits and what they publish in the test's hands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from mageflow_core.stores.redis.steps import Steps

OTHER = "other"  # a namespace of which nothing is told
# All keys are on one server, so that one clock and one list serve all slots.
CLOCK = """
local function clock() return tonumber(redis.call('GET', 'clock')) end
"""
TOLD = """
local publish = names.publish
function names.publish(channel, text)
  if string.find(names.tag, '{OTHER:', 1, true) then return end
  redis.call('RPUSH', 'told', channel .. ' ' .. text)
  publish(channel, text)
end
""".replace("OTHER", OTHER)
# Everything in the database.
DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  else value = redis.call('GET', key)
  end
  if redis.call('PTTL', key) >= 0 then kind = 'expiring ' .. kind end
  found[#found + 1] = { key, kind, value }
end
return found
"""


_altered: dict[str, tuple[str, str]] = {}  # part → what is replaced in it, and by what


@contextmanager
def altered(part: str, text: str, by: str) -> Iterator[None]:
    """Stores that are made meanwhile are wrong in one place."""
    assert text in _text(part), f"{part}.lua has no {text!r}"
    _altered[part] = (text, by)
    steps.cache_clear()
    try:
        yield
    finally:
        del _altered[part]
        steps.cache_clear()


@cache
def steps(width: int, inline: int) -> Steps:
    """width: records that a step may write. inline: bytes of the longest value in a field."""
    instead = {
        "clock": CLOCK,
        "names": _text("names") + TOLD,
        "draft": _set(_text("draft"), "WIDTH", width),
        "find": _set(_text("find"), "LOOKS", 3),
        "values": _set(_text("values"), "INLINE", inline),
    }
    for part, words in _altered.items():
        instead[part] = instead.get(part, _text(part)).replace(*words)
    return Steps(instead)


def _text(part: str) -> str:
    return (files("mageflow_core.stores.redis") / "lua" / f"{part}.lua").read_text("utf-8")


def _set(text: str, name: str, value: int) -> str:
    changed, count = re.subn(rf"\b{name} = \d+", f"{name} = {value}", text)
    assert count == 1, f"{count} places set {name}"
    return changed
