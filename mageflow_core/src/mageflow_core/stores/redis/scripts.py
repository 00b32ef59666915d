"""Lua scripts, put together from files."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files
from types import MappingProxyType

PLACE = re.compile(r"@?\buser_script:(\d+)")
FOLDER = files(__package__) / "lua"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. sha: the SHA-1 of its text in hex, by which a server knows it."""

    name: str
    text: str = field(repr=False)
    sha: str = field(repr=False)
    starts: tuple[int, ...] = field(default=(), repr=False)  # first lines of the parts, from 1
    parts: tuple[str, ...] = field(default=(), repr=False)

    def explain(self, error: str) -> str:
        """The text of an error, with lines of files where it has lines of the whole script."""
        return PLACE.sub(lambda found: self._place(int(found[1])), error)

    def _place(self, line: int) -> str:
        at = bisect_right(self.starts, line) - 1
        return f"{self.name}:{line}" if at < 0 else f"{self.parts[at]}.lua:{line - self.starts[at]}"


def compose(
    name: str,
    parts: Sequence[str],
    *,
    instead: Mapping[str, str] = NOTHING,
    lazy: Mapping[str, str] = NOTHING,
    within: Collection[str] = (),
) -> Script:
    """The files `lua/<part>.lua` one after the other, each below a comment with its name.

    instead: texts of parts whose files are not read. lazy: parts that only fill a table, and its
    name: they do when something is asked of it; see `lazy.lua`. within: parts that are steps, to be
    done one after the other; see `several.lua`.
    """
    text, starts = "", []
    for part in parts:
        own = instead.get(part)
        if own is None:
            own = (FOLDER / f"{part}.lua").read_text("utf-8")
        own += "\n" if own and not own.endswith("\n") else ""
        starts.append(text.count("\n") + 1)
        if part in lazy:
            text += f"local {lazy[part]} = lazy(function({lazy[part]}) -- {part}\n{own}end)\n"
        elif part in within:
            text += f"steps['{part}'] = function() -- {part}\n{own}end\n"
        else:
            text += f"-- {part}\n{own}"
    # The server names scripts by this digest; it guards nothing.
    sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, sha, tuple(starts), tuple(parts))
