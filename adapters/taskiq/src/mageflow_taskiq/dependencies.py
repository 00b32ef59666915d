"""Parameters that taskiq fills, with what a task depends on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from itertools import chain
from typing import Any

from taskiq import AsyncBroker, Context, TaskiqState
from taskiq_dependencies import DependencyGraph

from mageflow_core.backends import delivered


def without_dependencies(fn: Callable[..., Any], broker: AsyncBroker) -> Callable[..., Any]:
    """The function without the parameters that taskiq fills. It gets them where it is run of a
    job; elsewhere it is called as it is."""
    graph = DependencyGraph(fn)
    needed = [each for of, each in graph.dependencies.items() if of.dependency is fn]
    filled = {each.param_name for each in chain.from_iterable(needed)}
    if not filled:
        return fn

    @wraps(fn)
    async def run(**given: Any) -> Any:
        job = delivered()
        if job is None:
            return await fn(**given)
        async with _resolved(graph, broker, job.native) as more:
            return await fn(**{**more, **given})

    @wraps(fn)
    def run_in_thread(**given: Any) -> Any:
        job = delivered()
        if job is None:
            return fn(**given)
        resolved = _resolved(graph, broker, job.native)

        def on_loop(step: Any) -> Any:  # what it depends on may be asynchronous
            return asyncio.run_coroutine_threadsafe(step, job.loop).result()

        more = on_loop(resolved.__aenter__())
        try:
            value = fn(**{**more, **given})
        except BaseException as error:
            on_loop(resolved.__aexit__(type(error), error, error.__traceback__))
            raise
        on_loop(resolved.__aexit__(None, None, None))
        return value

    made: Any = run if inspect.iscoroutinefunction(fn) else run_in_thread
    signature = inspect.signature(fn)
    left = [each for name, each in signature.parameters.items() if name not in filled]
    made.__signature__ = signature.replace(parameters=left)
    return made  # type: ignore[no-any-return]


@asynccontextmanager
async def _resolved(
    graph: DependencyGraph, broker: AsyncBroker, context: Context
) -> AsyncIterator[dict[str, Any]]:
    """As taskiq's receiver does it."""
    given = {
        **broker.custom_dependency_context,
        Context: context,
        TaskiqState: broker.state,
    }
    resolving = graph.async_ctx(given, broker.dependency_overrides or None)
    error: BaseException | None = None
    try:
        yield await resolving.resolve_kwargs()
    except BaseException as raised:
        error = raised
        raise
    finally:
        if error is None:
            await resolving.close(None, None, None)
        else:
            await resolving.close(type(error), error, error.__traceback__)
