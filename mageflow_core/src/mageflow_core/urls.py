"""Store URLs: their scheme, and how they are shown."""

from __future__ import annotations

import re
from urllib.parse import unquote

from mageflow_core.errors import SettingsError

EXPECTED = "a URL such as memory:// or redis://localhost:6379/0"
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
PARAMETER = re.compile(r"([?&;])([^=&;]*)=([^&]*)")
# What stands where a port does and is none: a password whose `@` was forgotten.
NO_PORT = re.compile(r"^([^/?:\[]*):(?!\d*(?:[/?#,]|$)).*", re.DOTALL)
SECRET = re.compile(r"pass|pwd|secret|token|credential|auth", re.IGNORECASE)


def scheme_of(url: str) -> str:
    """The scheme in lower case, or `SettingsError`."""
    found = SCHEME.match(url)
    if found is None:
        raise SettingsError(f"{safe_url(url)!r} names no store: expected {EXPECTED}")
    return found[1].lower()


def safe_url(url: str) -> str:
    """The URL with `***` for what may be a password; other text comes back as it is.

    Takes malformed URLs too: what is shown most is what does not work. Rather hides too much: a
    password may have any character in it, so that all up to the last `@` is taken for a part of it.
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    before, at, place = rest.rpartition("@")
    if not at:
        rest = NO_PORT.sub(r"\1:***", rest) if mark else rest
        return scheme + mark + PARAMETER.sub(_hide, rest)
    user, colon, _ = before.partition(":")
    if not mark or PARAMETER.sub(_hide, before) != before:
        return f"{scheme}{mark}***"  # where the password ends is anyone's guess
    return f"{scheme}{mark}{user}{':***' if colon else ''}@{PARAMETER.sub(_hide, place)}"


def _hide(found: re.Match[str]) -> str:
    mark, name, _ = found.groups()
    return f"{mark}{name}=***" if SECRET.search(unquote(name)) else found[0]
