"""The functions that make signatures: sign, chain, swarm, graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from mageflow_core.errors import SignatureError
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
    as_signature,
)
from mageflow_core.signatures.task import Task

if TYPE_CHECKING:
    from mageflow_core.client.run import Run

R = TypeVar("R")
S = TypeVar("S", bound=Signature[Any])
Link: TypeAlias = "Signature[R] | Task[..., Any, R] | Run[R]"
Labels = Mapping[str, str]


@overload
def sign(task: Task[..., Any, R], /, **args: Any) -> TaskSignature[R]: ...
@overload
def sign(task: str | None = None, /, **args: Any) -> TaskSignature[Any]: ...
def sign(
    task: Any = None,
    /,
    *,
    task_identifiers: Labels | None = None,
    success_callbacks: Sequence[Any] = (),
    error_callbacks: Sequence[Any] = (),
    **args: Any,
) -> TaskSignature[Any]:
    """A signature of a task, given as the task or by its name (also as `task_name=`).

    task_identifiers: labels that a run of it can be found by.
    args: bound arguments of the task, by name.

    Raises `UnknownTask` where the app can tell, `UnknownArgument`, `NotSerializable`.
    """
    if task is None:
        if "task_name" not in args:
            raise SignatureError("sign() needs a task: sign(my_task) or sign(task_name='my-task')")
        task = args.pop("task_name")
    if args and hasattr(task, "sign"):
        signature = task.sign(**args)
    else:
        signature = as_signature(task)
        signature = signature.bind(**args) if args else signature
    if not isinstance(signature, TaskSignature):
        raise SignatureError(f"sign() takes a task or its name, not a {signature.kind}")
    return _dressed(signature, None, task_identifiers, success_callbacks, error_callbacks)


# By arity, because types cannot say "the last of many"; a name or a list says nothing of types.
@overload
def chain(a: Link[R], /, **how: Any) -> ChainSignature[R]: ...
@overload
def chain(a: Any, b: Link[R], /, **how: Any) -> ChainSignature[R]: ...
@overload
def chain(a: Any, b: Any, c: Link[R], /, **how: Any) -> ChainSignature[R]: ...
@overload
def chain(a: Any, b: Any, c: Any, d: Link[R], /, **how: Any) -> ChainSignature[R]: ...
@overload
def chain(a: Any, b: Any, c: Any, d: Any, e: Link[R], /, **how: Any) -> ChainSignature[R]: ...
@overload
def chain(a: str | Iterable[Any], /, **how: Any) -> ChainSignature[Any]: ...
@overload
def chain(a: Any, b: str, /, **how: Any) -> ChainSignature[Any]: ...
@overload
def chain(a: Any, b: Any, c: str, /, **how: Any) -> ChainSignature[Any]: ...
@overload
def chain(a: Any, b: Any, c: Any, d: str, /, **how: Any) -> ChainSignature[Any]: ...
@overload
def chain(a: Any, b: Any, c: Any, d: Any, e: str, /, **how: Any) -> ChainSignature[Any]: ...
@overload
def chain(
    a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, /, *more: Any, **how: Any
) -> ChainSignature[Any]: ...
def chain(
    *steps: Any,
    name: str | None = None,
    task_identifiers: Labels | None = None,
    success_callbacks: Sequence[Any] = (),
    error_callbacks: Sequence[Any] = (),
    **args: Any,
) -> ChainSignature[Any]:
    """Steps in order: `chain(a, b, c)` or `chain([a, b, c])`.

    A step's result goes to the next one; the chain's result is its last step's. The first step
    that fails ends it: later ones are skipped and the chain fails. `args` are bound for all.
    """
    signature: ChainSignature[Any] = ChainSignature(steps=_many(steps)).bind(**args)
    return _dressed(signature, name, task_identifiers, success_callbacks, error_callbacks)


def swarm(
    *items: Any,
    name: str | None = None,
    task_name: str | None = None,
    task_identifiers: Labels | None = None,
    success_callbacks: Sequence[Any] = (),
    error_callbacks: Sequence[Any] = (),
    max_concurrency: int | None = 30,
    open: bool = False,  # noqa: A002 - the field's own word
    max_tasks: int | None = None,
    idle_timeout: float | None = None,
    stop_after_n_failures: int | None = None,
    interrupt_running: bool = False,
    **args: Any,
) -> SwarmSignature[list[Any]]:
    """Items side by side: `swarm(a, b)` or `swarm([a, b])`; see `SwarmSignature`.

    The result is the list of the items' results in their order, `None` where there is none.
    """
    signature: SwarmSignature[list[Any]] = SwarmSignature(
        items=_many(items),
        max_concurrency=max_concurrency,
        open=open,
        max_tasks=max_tasks,
        idle_timeout=idle_timeout,
        stop_after_n_failures=stop_after_n_failures,
        interrupt_running=interrupt_running,
    ).bind(**args)
    title = name or task_name
    return _dressed(signature, title, task_identifiers, success_callbacks, error_callbacks)


def graph(
    nodes: Mapping[str, Any],
    depends_on: Mapping[str, str | Iterable[str]] | None = None,
    *,
    name: str | None = None,
    task_identifiers: Labels | None = None,
    success_callbacks: Sequence[Any] = (),
    error_callbacks: Sequence[Any] = (),
    max_concurrency: int | None = None,
    on_failure: Literal["stop", "continue"] = "stop",
    **args: Any,
) -> GraphSignature[dict[str, Any]]:
    """Named nodes: `graph({"a": a, "b": b}, depends_on={"b": ["a"]})`; see `GraphSignature`.

    A node gets the results of those it depends on under their names, where it takes them.
    The result maps the names that nothing depends on to their results.

    Raises `CyclicGraph` and `UnknownDependency`.
    """
    edges = {
        node: (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
        for node, names in (depends_on or {}).items()
    }
    signature: GraphSignature[dict[str, Any]] = GraphSignature(
        nodes={node: as_signature(value) for node, value in nodes.items()},
        depends_on={node: names for node, names in edges.items() if names},
        max_concurrency=max_concurrency,
        on_failure=on_failure,
    ).bind(**args)
    return _dressed(signature, name, task_identifiers, success_callbacks, error_callbacks)


def _many(values: tuple[Any, ...]) -> tuple[Signature[Any], ...]:
    """Both `f(a, b)` and `f([a, b])`, generators too."""
    if len(values) == 1 and isinstance(values[0], Iterable) and not isinstance(values[0], str):
        values = tuple(values[0])
    return tuple(as_signature(value) for value in values)


def _dressed(
    signature: S,
    name: str | None,
    labels: Labels | None,
    success: Sequence[Any],
    error: Sequence[Any],
) -> S:
    if name:
        signature = signature.named(name)
    if labels:
        signature = signature.label(**labels)
    if success:
        signature = signature.on_success(*success)
    return signature.on_error(*error) if error else signature
