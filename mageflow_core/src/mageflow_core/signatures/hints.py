"""The annotations of a function as types, wherever they were written."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final, get_type_hints

from mageflow_core.errors import ConfigurationError

_OURS: Final = str(Path(__file__).parents[1])


def signature_of(fn: Callable[..., Any], task: str) -> inspect.Signature:
    """The signature of anything that can be called, or `ConfigurationError`."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"task {task!r}: {fn!r} has no readable signature; wrap it in a function"
        ) from error


def hints_of(fn: Callable[..., Any], *, look_around: bool = False) -> dict[str, Any]:
    """Annotations by parameter name, and "return".

    With `look_around` names are also looked up in the frames of the callers, so that classes
    which are local to a function work under `from __future__ import annotations`.

    Raises `NameError` for names that are not there (yet).
    """
    written = _written_on(fn)
    try:
        return get_type_hints(written, include_extras=True)
    except NameError:
        if not look_around:
            raise
        namespace = _Callers(sys._getframe(1))  # noqa: SLF001 - the public spelling of it
        return get_type_hints(written, localns=namespace, include_extras=True)


def class_hints(cls: type) -> dict[str, Any]:
    """Annotations of a class by field; where names are missing, as they are written."""
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError:
        pass
    try:
        callers = _Callers(sys._getframe(1))  # noqa: SLF001
        return get_type_hints(cls, localns=callers, include_extras=True)
    except NameError:
        return dict(getattr(cls, "__annotations__", {}))


def _written_on(fn: Callable[..., Any]) -> Any:
    """The function that the annotations are written on."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif hasattr(fn, "__wrapped__") and not hasattr(fn, "__signature__"):
            fn = fn.__wrapped__
        elif inspect.isroutine(fn) or inspect.isclass(fn):
            return fn
        else:  # an instance with __call__
            return type(fn).__call__


class _Callers(Mapping[str, Any]):
    """The local names of the calling functions, nearest first."""

    def __init__(self, frame: FrameType | None) -> None:
        self._frame = frame

    def _frames(self) -> Iterator[FrameType]:
        frame = self._frame
        while frame is not None:
            if frame.f_locals is not frame.f_globals:
                yield frame
            frame = frame.f_back

    def __getitem__(self, name: str) -> Any:
        for frame in self._frames():
            # This package's own frames have names such as `name` and `value`: not meant.
            if not frame.f_code.co_filename.startswith(_OURS) and name in frame.f_locals:
                return frame.f_locals[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1  # never falsy: get_type_hints would leave it out


def name_of(annotation: Any) -> str:
    """How an annotation is written in messages: without modules and our own notes."""
    if annotation is type(None):
        return "None"
    text = re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", inspect.formatannotation(annotation))
    return re.sub(r"Annotated\[(.+?), <ReturnValue>\]", r"\1", text)
