"""Times as people write and read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from mageflow.cli.output import fail

SECOND = 1_000  # ms
MINUTE = 59_950  # ms: what would be rounded to 60.0 s
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
WORDS = {"s": "s", "m": "min", "h": "h", "d": "d"}
PAIRS = (("d", "h"), ("h", "m"), ("m", "s"))
AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def point(text: str, now: float, option: str) -> float:
    """Seconds since the epoch: of `2h` (so long before now), of a number of these seconds, or of
    an ISO date and time, which is local where it says no zone. Ends the command for any other."""
    ago = AGO.fullmatch(text)
    if ago is not None:
        return now - float(ago[1]) * UNITS[ago[2]]
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(seconds):
            return seconds
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        fail(
            f"{option} {text!r} is no time: write 30s, 15m, 2h, 7d or 1w for so long ago, "
            "2026-01-31T12:00, or seconds since the epoch"
        )


def clock(at: float, now: float) -> str:
    """Local time; with the date, unless that is today's."""
    try:
        there, here = (datetime.fromtimestamp(each, UTC).astimezone() for each in (at, now))
    except (ValueError, OverflowError, OSError):  # beyond what calendars have
        return f"{at:g}"
    if there.date() == here.date():
        return there.strftime("%H:%M:%S")
    return there.strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """How long something is, in its two largest units."""
    thousandths = round(max(0.0, seconds) * SECOND)
    if thousandths < SECOND:
        return f"{thousandths} ms"
    if thousandths < MINUTE:
        return f"{thousandths / SECOND:.1f} s"
    whole = round(thousandths / SECOND)
    large, small = next(pair for pair in PAIRS if whole >= UNITS[pair[0]])
    count, rest = divmod(whole, UNITS[large])
    return f"{count:,} {WORDS[large]} {rest // UNITS[small]} {WORDS[small]}"
