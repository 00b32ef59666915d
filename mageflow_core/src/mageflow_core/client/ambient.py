"""Which app the module's functions work on, and what is said of one that was never closed."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mageflow_core.errors import AmbiguousApp
from mageflow_core.signatures import ambient
from mageflow_core.signatures.ambient import App as AnyApp
from mageflow_core.signatures.signature import Signature
from mageflow_core.signatures.signature import as_signature as _as_signature

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow

__all__ = ["AnyApp", "as_signature", "closed", "find", "made", "opened", "standing_in"]

_made: weakref.WeakSet[Any] = weakref.WeakSet()
_open: set[Any] = set()
_default: list[Any] = []
_standing_in: list[Any] = []


def made(app: Mageflow) -> None:
    """The first app that somebody makes takes the tasks over that were registered before it, on
    the default one, unless that is in use."""
    default = _default.pop() if _default and _default[-1] not in _open else None
    if default is not None:
        _made.discard(default)
        app.take_over(default)
    _made.add(app)


def opened(app: Mageflow) -> None:
    _open.add(app)


def closed(app: Mageflow) -> None:
    _open.discard(app)


@contextmanager
def standing_in(app: Mageflow, other: Mageflow | None = None) -> Iterator[None]:
    """For as long as this lasts `app` is the one that is found, whatever others there are, and
    what is asked of `other` is done by `app`. For tests."""
    before = other.instead if other is not None else None
    _made.discard(app)
    _standing_in.append(app)
    if other is not None:
        other.instead = app
    try:
        yield
    finally:
        _standing_in.remove(app)
        if other is not None:
            other.instead = before


def find() -> Any:
    """The one app of this process, else the one made from the settings."""
    if _standing_in:
        return _standing_in[-1]
    apps = set(_made)
    if len(apps) > 1:
        raise AmbiguousApp(
            f"{len(apps)} apps exist here: call inside `async with mf:` of the one that you mean, "
            "or use its own methods"
        )
    if apps:
        return apps.pop()
    from mageflow_core.client.app import Mageflow  # noqa: PLC0415 - made at first use only

    default = Mageflow()
    _default.append(default)
    return default


def as_signature(value: Any) -> Signature[Any]:
    return _as_signature(value)


def _warn() -> None:
    for app in _open:
        if app.settings.warn_unclosed:
            running = ", ".join(app.unfinished()) or "nothing"
            print(  # noqa: T201 - at exit no logger is left
                f"{app!r} was never closed; running at exit: {running}. Use `async with mf:`.",
                file=sys.stderr,
            )


def _forked() -> None:
    _open.clear()
    for app in _made:
        app.forget()


ambient.provide(find)
atexit.register(_warn)
os.register_at_fork(after_in_child=_forked)
