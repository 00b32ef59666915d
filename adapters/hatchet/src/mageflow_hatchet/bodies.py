"""What a flow runs of a native task: the same function, with what Hatchet fills in for it."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

from hatchet_sdk import Context, Depends
from hatchet_sdk.runnables.action import ActionPayload
from hatchet_sdk.runnables.task import Task
from pydantic import TypeAdapter

from mageflow_core.backends import Delivered, delivered

AnyTask = Task[Any, Any]


def body_of(task: AnyTask) -> Callable[..., Any]:
    """The function without its context and what it depends on. It gets them where it is run of a
    job; elsewhere it is called as it is."""
    fn: Any = task._fn  # noqa: SLF001 - the public name of it is deprecated
    taken, context, *others = inspect.signature(fn).parameters.values()
    needed = [each for each in others if _is_dependency(each)]
    left = [taken, *(each for each in others if each not in needed)]

    @wraps(fn)
    async def run(*args: Any, **given: Any) -> Any:
        delivery = delivered()
        if delivery is None:
            return await fn(*args, **given)
        own = _context(delivery, given[taken.name])
        async with _depended(task, needed, given[taken.name], own) as more:
            return await fn(given.pop(taken.name), own, **more, **given)

    @wraps(fn)
    def run_in_thread(*args: Any, **given: Any) -> Any:
        delivery = delivered()
        if delivery is None:
            return fn(*args, **given)
        own = _context(delivery, given[taken.name])
        depended = _depended(task, needed, given[taken.name], own)

        def on_loop(step: Any) -> Any:  # what it depends on may be asynchronous
            return asyncio.run_coroutine_threadsafe(step, delivery.loop).result()

        more = on_loop(depended.__aenter__()) if needed else {}
        try:
            value = fn(given.pop(taken.name), own, **more, **given)
        except BaseException as error:
            if needed:
                on_loop(depended.__aexit__(type(error), error, error.__traceback__))
            raise
        if needed:
            on_loop(depended.__aexit__(None, None, None))
        return value

    made: Any = run if task._is_async_function else run_in_thread  # noqa: SLF001
    made.__signature__ = inspect.signature(fn).replace(parameters=left)
    made.__annotations__ = {
        name: kind for name, kind in fn.__annotations__.items() if name != context.name
    }
    return made  # type: ignore[no-any-return]


def _is_dependency(parameter: inspect.Parameter) -> bool:
    notes = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else ()
    return any(isinstance(note, Depends) for note in notes)


def _context(delivery: Delivered, taken: Any) -> Context:
    """That of the job, which tells of this attempt and its input as in a native run. Hatchet's own
    count has crashes in it, too."""
    said: Any = TypeAdapter(Any).dump_python(taken, mode="json")
    payload = ActionPayload(input=said if isinstance(said, dict) else {})
    made: Context = copy.copy(delivery.native)
    action = made._action.model_copy(  # noqa: SLF001 - there is no other way to one
        update={"retry_count": delivery.job.attempt - 1, "action_payload": payload}
    )
    made._action, made._data, made._input = action, payload, payload.input  # noqa: SLF001
    return made


@asynccontextmanager
async def _depended(
    task: AnyTask, needed: list[inspect.Parameter], taken: Any, context: Context
) -> AsyncIterator[dict[str, Any]]:
    """As Hatchet's runner does it."""
    found: dict[str, Any] = {}
    managers: list[Any] = []
    try:
        for each in needed:
            parsed = await task._parse_parameter(  # noqa: SLF001
                each.name, each, taken, context, None, managers
            )
            if parsed is not None:
                found[each.name], manager = await task._parse_maybe_cm_param(parsed, managers)  # noqa: SLF001
                if manager is not None:
                    managers.append(manager)
        yield found
    finally:
        for manager in reversed(managers):
            if hasattr(manager, "__aexit__"):
                await manager.__aexit__(None, None, None)
            else:
                await asyncio.to_thread(manager.__exit__, None, None, None)
