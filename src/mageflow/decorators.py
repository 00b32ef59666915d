"""Tasks of functions that are written for messages: `register_task` and `handle_task_callback`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mageflow_core.errors import ConfigurationError
from mageflow_core.signatures.ambient import current_app
from mageflow_core.signatures.inject import INJECTS, Injection

if TYPE_CHECKING:
    from mageflow_core import Task

P = ParamSpec("P")
R = TypeVar("R")

Kinds = inspect.Parameter
BY_NAME = (Kinds.POSITIONAL_OR_KEYWORD, Kinds.KEYWORD_ONLY)


class AcceptParams(Enum):
    """What a function takes beside the message, which is its first parameter."""

    MESSAGE = "message"
    """Nothing: its other parameters keep their defaults."""

    ARGUMENTS = "arguments"
    """Bound arguments, by their names."""

    ALL = "all"
    """Bound arguments; and the context, or the signature, in parameters that are called `ctx`,
    `context` or `signature`; without any of these, the context in the second parameter."""

    JUST_MESSAGE = MESSAGE
    NO_CTX = ARGUMENTS


def register_task(name: str, **options: Any) -> Callable[[Callable[P, R]], Task[P, R, Any]]:
    """Register a function as a task of the app in whose `async with` this is called, else of the
    one that the process has made, else of the default one. Options are those of `mf.task`.

    Raises `InvalidName`, `DuplicateTask`, and `AmbiguousApp` where there are several apps.
    """

    def register(fn: Callable[P, R]) -> Task[P, R, Any]:
        app: Any = current_app()
        task: Task[P, R, Any] = app.task(name=name, **options)(fn)
        return task

    return register


def handle_task_callback(
    expected_params: AcceptParams = AcceptParams.ARGUMENTS,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Give a function the whole message as its first parameter, whatever that is called.

    The message may be any JSON value; in a chain it is the previous step's result. Bound
    arguments go to the parameters of their names; what has none is laid into the message, if
    that is a mapping. Goes below `register_task` or `mf.task`. Called natively, the function is
    what it was.

    Raises `ConfigurationError` for a function without parameters.
    """

    def handle(fn: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(fn)
        parameters = [p for p in signature.parameters.values() if p.kind in BY_NAME]
        if not parameters:
            raise ConfigurationError(
                f"{fn!r} has no parameter for the message: handle_task_callback needs one"
            )
        injects = {parameters[0].name: Injection.MESSAGE}
        signatures: set[str] = set()
        if expected_params is AcceptParams.ALL:
            for parameter, wants_signature in _surroundings(parameters[1:]):
                injects[parameter.name] = Injection.CONTEXT
                if wants_signature:
                    signatures.add(parameter.name)

        @wraps(fn)
        def handler(*args: P.args, **kwargs: P.kwargs) -> R:
            for each in signatures & kwargs.keys():
                kwargs[each] = getattr(kwargs[each], "signature", kwargs[each])
            return fn(*args, **kwargs)

        if expected_params is AcceptParams.MESSAGE:
            signature = signature.replace(parameters=parameters[:1])
        vars(handler)["__signature__"] = signature
        vars(handler)[INJECTS] = injects
        return handler

    return handle


def _surroundings(parameters: list[inspect.Parameter]) -> Iterator[tuple[inspect.Parameter, bool]]:
    """The parameters for the context or, as the second value says, the signature."""
    named = {"ctx": False, "context": False, "signature": True}
    found = [(p, named[p.name]) for p in parameters if p.name in named]
    if not found and parameters and parameters[0].default is inspect.Parameter.empty:
        found = [(parameters[0], False)]
    yield from found
