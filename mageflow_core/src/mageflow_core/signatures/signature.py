"""What to run, as plain immutable data: tasks, chains, swarms and graphs of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

from mageflow_core.errors import CyclicGraph, SignatureError, UnknownDependency
from mageflow_core.names import NODE_NAME
from mageflow_core.serialization import to_plain
from mageflow_core.signatures.ambient import current_app
from mageflow_core.signatures.options import (
    NO_OPTIONS,
    OF_CONTAINERS,
    Options,
    make_options,
    refuse,
)

if TYPE_CHECKING:
    from mageflow_core.client.run import Run

R_co = TypeVar("R_co", covariant=True)
Kind = Literal["task", "chain", "swarm", "graph"]
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Signature(Generic[R_co]):
    """One thing to run, with what is bound to it. Building one does no I/O.

    Signatures never change: each method gives a new one. Two with the same content are equal.

    args: bound arguments, as JSON values (see `mageflow.Exactly` for what is not merged).
    name: what a run of it is called in lists.
    labels: what a run of it can be found by.
    success_callbacks, error_callbacks: run when this has ended so, each once.
    """

    kind: ClassVar[Kind]
    args: Mapping[str, Any] = field(default_factory=dict)
    opts: Options = NO_OPTIONS
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    success_callbacks: tuple[Signature[Any], ...] = ()
    error_callbacks: tuple[Signature[Any], ...] = ()
    # The stored, never started run that this signature stands for, if it does.
    stored: str | None = field(default=None, compare=False)

    # --- building ---------------------------------------------------------------------------
    def bind(self, **args: Any) -> Self:
        """With further arguments bound; on a container, for all below it."""
        plain = {name: to_plain(value, at=name) for name, value in args.items()}
        return replace(self, args={**self.args, **plain}, stored=None)

    def options(self, **options: Any) -> Self:
        """With further options: retries, timeout, delay, eta, priority, deadline, backend, …

        Those that say how a body runs are of tasks alone.
        """
        made = make_options(**options)
        if self.kind != "task":
            of_tasks = {f.name for f in fields(Options)} - OF_CONTAINERS
            refuse(made, of_tasks, f"is for tasks: give it to those inside the {self.kind}")
        return replace(self, opts=made.over(self.opts), stored=None)

    def named(self, name: str) -> Self:
        return replace(self, name=name, stored=None)

    def label(self, **labels: str) -> Self:
        merged = {**self.labels, **{k: str(v) for k, v in labels.items()}}
        return replace(self, labels=merged, stored=None)

    def on_success(self, *callbacks: Any) -> Self:
        """With further callbacks for when this is done; they get its message and result."""
        more = tuple(as_signature(c) for c in callbacks)
        return replace(self, success_callbacks=self.success_callbacks + more, stored=None)

    def on_error(self, *callbacks: Any) -> Self:
        """With further callbacks for when this has failed; they get the message and error."""
        more = tuple(as_signature(c) for c in callbacks)
        return replace(self, error_callbacks=self.error_callbacks + more, stored=None)

    @property
    def children(self) -> tuple[Signature[Any], ...]:
        """The signatures inside, without callbacks."""
        return ()

    @property
    def callbacks(self) -> tuple[Signature[Any], ...]:
        """Those of success, then those of error."""
        return self.success_callbacks + self.error_callbacks

    # --- running ----------------------------------------------------------------------------
    def __await__(self) -> Generator[Any, None, Run[R_co]]:
        """Store a new pending run of this signature."""
        return current_app().store(self).__await__()

    async def start(
        self,
        message: Any = NOTHING,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
    ) -> Run[R_co]:
        """Store and start a new run; see `Mageflow.start`."""
        run: Run[R_co] = await current_app().start(self, message, key=key, labels=labels, ttl=ttl)
        return run

    async def run(
        self,
        message: Any = NOTHING,
        *,
        timeout: float | None = None,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
    ) -> R_co:
        """Start a new run and wait for its result; see `Run.result`."""
        run = await self.start(message, key=key, labels=labels, ttl=ttl)
        return await run.result(timeout=timeout)

    def start_sync(
        self,
        message: Any = NOTHING,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
    ) -> Run[R_co]:
        """`start` for scripts; raises `InsideEventLoop` in a running event loop."""
        starting = self.start(message, key=key, labels=labels, ttl=ttl)
        return current_app().run_sync(starting)

    def run_sync(self, message: Any = NOTHING, *, timeout: float | None = None) -> R_co:
        """`run` for scripts; raises `InsideEventLoop` in a running event loop."""
        return current_app().run_sync(self.run(message, timeout=timeout))


@dataclass(frozen=True, kw_only=True)
class TaskSignature(Signature[R_co]):
    """One call of a task, by its name."""

    kind: ClassVar[Kind] = "task"
    task: str


@dataclass(frozen=True, kw_only=True)
class ChainSignature(Signature[R_co]):
    """Steps in order; each gets the result of the one before. The first failure ends it."""

    kind: ClassVar[Kind] = "chain"
    steps: tuple[Signature[Any], ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise SignatureError("a chain has no steps: give it at least one")

    @property
    def children(self) -> tuple[Signature[Any], ...]:
        return self.steps


@dataclass(frozen=True, kw_only=True)
class SwarmSignature(Signature[R_co]):
    """Items side by side, up to `max_concurrency` at once (`None`: no limit).

    open: takes further items while it runs, until `close()`, `max_tasks` items, or
        `idle_timeout` seconds without any to run.
    stop_after_n_failures: at that many failures no further item begins and the swarm fails;
        with `interrupt_running` those that have begun are canceled too.
    """

    kind: ClassVar[Kind] = "swarm"
    items: tuple[Signature[Any], ...] = ()
    max_concurrency: int | None = 30
    open: bool = False
    max_tasks: int | None = None
    idle_timeout: float | None = None
    stop_after_n_failures: int | None = None
    interrupt_running: bool = False

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "max_tasks", "stop_after_n_failures"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SignatureError(f"swarm option {name}={value!r}: at least 1, or None")
        if self.idle_timeout is not None and not self.idle_timeout > 0:
            raise SignatureError(f"swarm option idle_timeout={self.idle_timeout!r}: above 0 (s)")
        if not self.open and (self.max_tasks or self.idle_timeout):
            raise SignatureError("swarm options max_tasks and idle_timeout need open=True")
        if self.max_tasks is not None and len(self.items) > self.max_tasks:
            size = len(self.items)
            raise SignatureError(f"a swarm of {size} items has max_tasks={self.max_tasks}")
        if self.interrupt_running and self.stop_after_n_failures is None:
            raise SignatureError("swarm option interrupt_running needs stop_after_n_failures")

    @property
    def children(self) -> tuple[Signature[Any], ...]:
        return self.items


@dataclass(frozen=True, kw_only=True)
class GraphSignature(Signature[R_co]):
    """Named nodes; each starts when all that it depends on are done.

    nodes: name → signature, in the order in which equals start.
    depends_on: name → the names it waits for; names left out wait for nothing.
    on_failure: "stop" begins nothing after a failure; "continue" goes on with what still can run.
    """

    kind: ClassVar[Kind] = "graph"
    nodes: Mapping[str, Signature[Any]]
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_concurrency: int | None = None
    on_failure: Literal["stop", "continue"] = "stop"
    # Worked out once: the names in order, and who waits for whom.
    order: tuple[str, ...] = field(init=False, compare=False, repr=False)
    dependents: Mapping[str, tuple[int, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.nodes:
            raise SignatureError("a graph has no nodes: give it at least one")
        if self.max_concurrency is not None and self.max_concurrency < 1:
            limit = self.max_concurrency
            raise SignatureError(f"graph option max_concurrency={limit!r}: at least 1, or None")
        if self.on_failure not in ("stop", "continue"):
            raise SignatureError(f"graph option on_failure={self.on_failure!r}: stop or continue")
        order = tuple(self.nodes)
        position = {name: i for i, name in enumerate(order)}
        waiting: dict[str, list[int]] = {}
        for name in order:
            if not NODE_NAME.fullmatch(name):
                raise SignatureError(f"graph node {name!r}: use letters, digits, '.', '_' and '-'")
        for name, names in self.depends_on.items():
            for other in (name, *names):
                if other not in self.nodes:
                    raise UnknownDependency(
                        f"graph node {name!r} depends on {other!r}, which is not in the graph "
                        f"(it has {', '.join(order)})"
                    )
            for other in names:
                waiting.setdefault(other, []).append(position[name])
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "dependents", {k: tuple(v) for k, v in waiting.items()})
        _refuse_cycles(order, self.depends_on)

    @property
    def children(self) -> tuple[Signature[Any], ...]:
        return tuple(self.nodes.values())


def _refuse_cycles(order: tuple[str, ...], depends_on: Mapping[str, tuple[str, ...]]) -> None:
    done: set[str] = set()
    for start in order:
        trail: list[tuple[str, int]] = [(start, 0)]
        on_trail = {start}
        while trail:
            name, nth = trail.pop()
            names = depends_on.get(name, ())
            if name in done or nth == len(names):
                done.add(name)
                on_trail.discard(name)
                continue
            trail.append((name, nth + 1))
            other = names[nth]
            if other in on_trail:
                path = [n for n, _ in trail]
                cycle = " → ".join([*path[path.index(other) :], other])
                raise CyclicGraph(f"the graph has a cycle: {cycle} (each depends on the next)")
            if other not in done:
                trail.append((other, 0))
                on_trail.add(other)


def as_signature(value: Any) -> Signature[Any]:
    """A signature from what people put where one belongs: a signature, a task, a task's name,
    a stored run that was never started."""
    if isinstance(value, Signature):
        return value
    if isinstance(value, str):
        return TaskSignature(task=current_app().task_name(value))
    if hasattr(value, "__signature_of_run__"):
        stored: Signature[Any] = value.__signature_of_run__()
        return stored
    if hasattr(value, "sign"):
        signed: Signature[Any] = value.sign()
        return signed
    adopted = current_app().adopt(value)
    if adopted is not None:
        return as_signature(adopted)
    raise SignatureError(
        f"{value!r} is not a signature: give a task, a task's name, a signature, or a stored run"
    )
