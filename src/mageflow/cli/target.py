"""`module:attribute` as something that can be run."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from mageflow.cli.output import fail
from mageflow_core import Mageflow, Run, Task
from mageflow_core.errors import AmbiguousApp, MageflowError
from mageflow_core.signatures.ambient import current_app
from mageflow_core.signatures.signature import NOTHING, Signature, as_signature


def load(target: str) -> tuple[ModuleType, Any]:
    """The module, imported from the working directory, and what it has under that name."""
    name, _, attribute = target.partition(":")
    if not name or not attribute:
        fail(f"{target!r} names no flow: write module:attribute, as in flows:nightly")
    module = imported(name)
    found = attribute_of(module, attribute)
    if found is None:
        there = [key for key, value in vars(module).items() if is_flow(value)]
        has = f": its flows and tasks are {', '.join(there)}" if there else ""
        fail(f"module {name!r} has no {attribute!r}{has}")
    return module, found


def imported(name: str) -> ModuleType:
    """The module, from the working directory before all others."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            _blame(f"module {name!r} cannot be imported", error)
        fail(f"there is no module {name!r}: run this in the folder that has it, or install it")
    except Exception as error:  # noqa: BLE001  # whatever the user's module does
        _blame(f"module {name!r} cannot be imported", error)


def attribute_of(module: ModuleType, dotted: str) -> Any:
    """`None` where it has no such thing."""
    found: Any = module
    for part in dotted.split("."):
        found = getattr(found, part, None)
    return found


def app_at(target: str) -> Mageflow:
    """The app that `module:app` names; of a module alone, the one that it has, else the only one
    there is."""
    name, colon, attribute = target.partition(":")
    if not name or (colon and not attribute):
        fail(f"{target!r} names no app: write module or module:app, as in flows:mf")
    module = imported(name)
    if attribute:
        app = attribute_of(module, attribute)
        if not isinstance(app, Mageflow):
            kind = f"is {type(app).__name__}" if app is not None else "is not there"
            fail(f"{target} {kind}: name a Mageflow of that module{_apps_of(module)}")
        return app
    if len(set(_named_apps(module).values())) > 1:
        fail(f"module {name!r} has several apps: name one of them{_apps_of(module)}")
    try:
        return app_of(module, None)
    except AmbiguousApp:
        fail(f"module {name!r} has no app, and others have several: name one, as in flows:mf")


def _named_apps(module: ModuleType) -> dict[str, Mageflow]:
    return {key: value for key, value in vars(module).items() if isinstance(value, Mageflow)}


def _apps_of(module: ModuleType) -> str:
    named = ", ".join(f"{module.__name__}:{key}" for key in _named_apps(module))
    return f", as in {named}" if named else ""


def is_flow(value: object) -> bool:
    return isinstance(value, Signature | Task)


def app_of(module: ModuleType, found: Any) -> Mageflow:
    """The app that the flow belongs to: the task's, the only one of the module, else the only
    one there is. Raises `AmbiguousApp`."""
    if isinstance(found, Task) and isinstance(found.app, Mageflow):
        return found.app
    apps = set(_named_apps(module).values())
    if len(apps) == 1:
        return apps.pop()
    app = current_app()
    assert isinstance(app, Mageflow)
    return app


async def started(app: Mageflow, target: str, found: Any, message: Any) -> Run[Any]:
    """A run of it. To be called inside of the app's `async with`."""
    if not is_flow(found) and callable(found):
        found = await _made_by(found, target)
    if isinstance(found, Run):
        return await found.start(message)
    if not is_flow(found):
        fail(
            f"{target} is {type(found).__name__}: name a task, a signature, or a function "
            "without arguments that gives one"
        )
    return await app.start(as_signature(found), message)


async def _made_by(function: Callable[..., Any], target: str) -> Any:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError) as error:
        fail(f"{target} cannot be called without arguments: {error}")
    try:
        made = function()
        # Awaiting a signature would store a run of it.
        awaited = inspect.isawaitable(made) and not isinstance(made, Signature)
        return await made if awaited else made
    except MageflowError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the user's function does
        _blame(f"{target} gives no flow", error)


def _blame(what: str, error: Exception) -> NoReturn:
    """Where an error of the user's code comes from, in one line."""
    *_, last = traceback.extract_tb(error.__traceback__)
    fail(f"{what}: {type(error).__name__}: {error} ({last.filename}, line {last.lineno})")


def message_of(text: str | None) -> Any:
    """The message that is given as JSON, or as `@file` that has it."""
    if text is None:
        return NOTHING
    source = "--input"
    if text.startswith("@"):
        source = text[1:]
        try:
            text = Path(source).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{source} cannot be read: {error}")
    try:
        return json.loads(text)
    except ValueError as error:
        hint = "" if source != "--input" else "; a text is written --input '\"text\"'"
        fail(f"{source} is not JSON: {error}{hint}")
