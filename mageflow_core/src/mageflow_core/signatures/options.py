"""How a signature runs: retries, times, priority, where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal

from mageflow_core.errors import SignatureError

Priority = Literal["low", "normal", "high"]
Interrupt = Literal["cooperative", "raise"]
ExceptionFilter = type[BaseException] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a failed attempt is followed by another, and how much later.

    retries: attempts after the first one.
    delay, factor, max_delay: seconds before the first retry, its growth, its limit.
    jitter: the share of each delay that is random (0 = none, 1 = anything from 0 to the delay).
    on, never: exceptions (classes, or dotted names of classes; a built-in one's name alone) that
        are retried, and that are not; subclasses count, `never` wins.
    """

    retries: int
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 300.0
    jitter: float = 0.5
    on: tuple[ExceptionFilter, ...] = ("builtins.Exception",)
    never: tuple[ExceptionFilter, ...] = ()

    def __post_init__(self) -> None:
        if self.retries < 0 or self.delay < 0 or self.factor < 1 or self.max_delay < 0:
            raise SignatureError(
                f"{self!r}: retries, delay and max_delay are not negative, factor is at least 1"
            )
        if not 0 <= self.jitter <= 1:
            raise SignatureError(f"{self!r}: jitter is a share between 0 and 1")
        if isinstance(self.jitter, bool):  # which says as much, and is no number in JSON
            object.__setattr__(self, "jitter", int(self.jitter))
        # Dotted names only, so that a signature stays plain data.
        object.__setattr__(self, "on", tuple(_dotted(e) for e in self.on))
        object.__setattr__(self, "never", tuple(_dotted(e) for e in self.never))

    def applies_to(self, error: BaseException) -> bool:
        names = {_dotted(cls) for cls in type(error).__mro__}
        return not names.isdisjoint(self.on) and names.isdisjoint(self.never)

    def delay_before(self, retry: int, chance: float) -> float:
        """Seconds before retry number `retry` (from 1); `chance` in [0, 1) decides the jitter."""
        # The exponent is bounded: 2.0 ** 1024 overflows, and no max_delay is that far away.
        full = min(self.max_delay, self.delay * self.factor ** min(retry - 1, 64))
        return full * (1 - self.jitter * chance)


def _dotted(exception: ExceptionFilter) -> str:
    if isinstance(exception, str):
        return exception if "." in exception else f"builtins.{exception}"
    return f"{exception.__module__}.{exception.__qualname__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a task or signature; what is `None` is left to the task, then to the settings.

    timeout, delay, deadline, ttl: seconds. deadline: from the start of the run, which then ends
    as failed. eta: an aware datetime. native: options that one backend knows, under its name.
    """

    retry: Retry | None = None
    timeout: float | None = None
    delay: float | None = None
    eta: datetime | None = None
    priority: Priority | None = None
    deadline: float | None = None
    ttl: float | None = None
    backend: str | None = None
    queue: str | None = None
    interrupt: Interrupt | None = None
    native: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("timeout", "delay", "deadline", "ttl"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise SignatureError(f"option {name}={value!r}: give seconds, not negative")
        if self.eta is not None and self.eta.tzinfo is None:
            raise SignatureError(f"option eta={self.eta!r} has no time zone: use an aware datetime")
        if self.delay is not None and self.eta is not None:
            raise SignatureError("options delay and eta exclude each other: give one of them")
        if self.priority not in (None, "low", "normal", "high"):
            raise SignatureError(f"option priority={self.priority!r}: low, normal or high")
        if self.interrupt not in (None, "cooperative", "raise"):
            raise SignatureError(f"option interrupt={self.interrupt!r}: cooperative or raise")

    def over(self, defaults: Options) -> Options:
        """These options where they say something, the defaults elsewhere."""
        if self is NO_OPTIONS or self == NO_OPTIONS:
            return defaults
        said = {
            f.name: value
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None and f.name != "native"
        }
        return replace(defaults, **said, native={**defaults.native, **self.native})


NO_OPTIONS = Options()

NAMES = frozenset({"retries", *(f.name for f in fields(Options))})  # of keywords that give them

# What says something of a run or a node, whatever its kind; the rest is of tasks.
OF_CONTAINERS = frozenset({"delay", "eta", "deadline", "ttl"})
# What says something of one run, and so cannot be a task's default.
OF_RUNS = frozenset({"eta", "deadline", "ttl"})


def refuse(options: Options, names: Iterable[str], why: str) -> None:
    """Raise `SignatureError` if one of these options is given."""
    given = [n for n in names if getattr(options, n) not in (None, {})]
    if given:
        raise SignatureError(f"option {', '.join(sorted(given))} {why}")


def make_options(
    *, retries: int | Retry | None = None, retry: Retry | None = None, **options: Any
) -> Options:
    """Options from keywords; `retries=3` is short for `retry=Retry(retries=3)`."""
    unknown = options.keys() - NAMES
    if unknown:
        known = ", ".join(sorted(NAMES))
        raise SignatureError(f"unknown option {', '.join(sorted(unknown))}: known are {known}")
    if retries is not None:
        retry = retries if isinstance(retries, Retry) else Retry(retries=retries)
    return Options(retry=retry, **options) if retry or options else NO_OPTIONS
