"""The application: tasks, settings, and the way to runs."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import Token
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from mageflow_core.backends.protocol import Health, TaskManager, TaskSpec
from mageflow_core.client import ambient
from mageflow_core.client.backends import Backends, StandIn
from mageflow_core.client.checking import Checker
from mageflow_core.client.decorator import TaskDecorator
from mageflow_core.client.found import Found
from mageflow_core.client.loopthread import LoopThread
from mageflow_core.client.node import Node
from mageflow_core.client.parts import parts_below, parts_of, reserve
from mageflow_core.client.registry import Registry
from mageflow_core.client.run import Run
from mageflow_core.client.serving import serve
from mageflow_core.client.site import Site
from mageflow_core.clock import Clock, SystemClock
from mageflow_core.errors import (
    DataError,
    SettingsError,
    StartKeyConflict,
    WrongEventLoop,
)
from mageflow_core.failpoints import hit
from mageflow_core.jsontext import check_size
from mageflow_core.machine import Status
from mageflow_core.names import check_name, default_name, key_of
from mageflow_core.runtime.running import running
from mageflow_core.serialization import dumps
from mageflow_core.signatures.ambient import entered
from mageflow_core.signatures.branch import BRANCH, choose
from mageflow_core.signatures.codec import content_hash
from mageflow_core.signatures.options import NO_OPTIONS, OF_RUNS, make_options, refuse
from mageflow_core.signatures.signature import NOTHING, Signature
from mageflow_core.signatures.task import Task
from mageflow_core.stores.protocol import NewRun, Query, Store

if TYPE_CHECKING:
    from mageflow_core.settings import Settings

CURSOR = re.compile(r"\d+(\.\d+)?-[\w.-]+")  # a time and a run's id

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Mageflow(StandIn):
    """Tasks and the flows made of them, on the backend and store that the settings name, or around
    engines' own clients, as in `Mageflow(broker)`, whose tasks are adopted where they are.

    Settings come from arguments, the environment, `mageflow.toml` and `[tool.mageflow]` in
    pyproject.toml, in that order of strength. Nothing is opened before the first use in an event
    loop; an app belongs to one process and one event loop.
    """

    def __init__(
        self,
        *natives: Any,
        settings: Settings | None = None,
        clock: Clock | None = None,
        **named: Any,
    ) -> None:
        # Read here, not at import: it is what takes long, and a script may never need it.
        from mageflow_core.settings import Settings  # noqa: PLC0415

        if settings is not None and named:
            raise SettingsError(f"give settings= or {', '.join(named)}, not both")
        self.settings = settings or Settings.load(**named)
        self.clock = clock or SystemClock()
        self.registry = Registry(self._adopted)
        self.instead: Mageflow | None = None  # works in this one's place; see `ambient.standing_in`
        # The backends that it is opened to work on, embedded ones aside; `True` for all.
        self.serves: bool | frozenset[str] = False
        # Those that it has started in processes of their own; see `Capabilities.own_processes`.
        self.elsewhere: frozenset[str] = frozenset()
        self._site: Site | None = None
        self._leaving: Site | None = None  # is being closed, and its bodies may still run
        self._opening: asyncio.Lock | None = None
        self._loop_thread = LoopThread()
        self._entered: list[Token[ambient.AnyApp | None]] = []
        self.backends = Backends(self, natives)
        self.task(name=BRANCH)(choose)
        ambient.made(self)

    # --- tasks ----------------------------------------------------------------------------------
    @overload
    def task(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(
        self,
        /,
        *,
        name: str | None = None,
        aliases: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
        **options: Any,
    ) -> TaskDecorator: ...
    def task(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        aliases: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """Register a function: `@mf.task`, or `@mf.task(retries=3, timeout=30)`.

        name: what signatures call it; by default the function's own, in lower case.
        aliases: further names that stored signatures may still use.
        options: see `Options`; they hold where a signature says nothing else.

        Options that only a client knows make a native task of the function, by its own decorator.
        Raises `InvalidName`, `DuplicateTask`, and `SignatureError` for unknown options.
        """
        natively = None if aliases or labels else self.backends.decorator(name, options)
        if natively is not None:
            return natively
        made = make_options(**options)
        refuse(made, OF_RUNS, "is of one run: give it to the signature that is started")

        def register(function: Callable[..., Any]) -> Task[..., Any, Any]:
            task: Task[..., Any, Any] = Task(
                function,
                app=self,
                name=name or default_name(getattr(function, "__name__", "")),
                aliases=aliases,
                options=made,
                labels=labels,
            )
            self.registry.add(task)
            if self._site is not None:
                self._site.register(task)
            return task

        return register(fn) if fn is not None else register

    # --- backends -------------------------------------------------------------------------------
    @property
    def native(self) -> Any:
        """The engine's own client: the one that was given, else the one that the backend works
        with; `None` where it has none. For the engine's own command, for one, as in
        `broker = mf.native`."""
        return self.backends.native(None)

    def native_of(self, backend: str) -> Any:
        """`native`, of one of several backends. Raises `UnknownBackend`."""
        return self.backends.native(backend)

    def make_backend(self, name: str) -> TaskManager:
        """The one that was wrapped or asked for, else one for the next opening."""
        return self.backends.one(name)

    def adopt(self, native: Any) -> Task[..., Any, Any] | None:
        """A native task of an engine's client, as a task of this app; `None` where it is none."""
        found = self.backends.adopt(native)
        if found is None:
            return None
        known = self.registry.find(found[0].name)
        return known if known is not None else self._adopt(*found)

    def _adopt(self, spec: TaskSpec, backend: str | None) -> Task[..., Any, Any]:
        said = {"backend": backend, **{n: getattr(spec, n) for n in ("queue", "retry", "timeout")}}
        given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        options = make_options(**given) if given else NO_OPTIONS
        task: Task[..., Any, Any] = Task(spec.fn, app=self, name=spec.name, options=options)
        self.registry.add(task)
        if self._site is not None:
            self._site.register(task)
        return task

    def _adopted(self) -> None:
        """Have the native tasks that there are by now; a task of the app's own that has the same
        name stands before it."""
        for spec, backend in self.backends.natives():
            if not self.registry.knows(spec.name):
                self._adopt(spec, backend)

    def take_over(self, other: Mageflow) -> None:
        """Have the tasks of an app that was never opened."""
        for task in other.registry:
            if self.registry.find(task.name) is None:
                task.app = self
                self.registry.add(task)

    def task_name(self, name: str) -> str:
        """The name itself if it can be one. Raises `InvalidName`."""
        return check_name(name) if name != BRANCH else name

    # --- runs -----------------------------------------------------------------------------------
    async def start(
        self,
        signature: Any,
        message: Any = NOTHING,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
    ) -> Run[Any]:
        """Store and start a new run.

        message: any JSON value; the input of the first tasks.
        key: a start key: while a run with this key is there, it is given back instead; where
            that one has another signature or message, `StartKeyConflict`.
        labels: further labels. ttl: seconds that the run can be read after it has settled.

        Once this has returned, the run is stored. Raises what is wrong with the signature or
        message, and then nothing is stored; `StoreUnavailable` where that is unknown.
        """
        text = self.message_text(message)
        return await self._create(signature, text, key=key, labels=labels, ttl=ttl)

    def message_text(self, message: Any) -> str:
        """A message as it is stored. Raises `NotSerializable`, `MessageTooLarge`."""
        text = dumps(message, at="message")
        check_size(text, self.settings.max_value_bytes, "the message")
        return text

    async def store(self, signature: Any) -> Run[Any]:
        """Store a new pending run, to be started later."""
        run = await self._create(signature, None)
        return Run(self, run.key, run.signature, pending=True)

    async def _create(
        self,
        signature: Any,
        message: str | None,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
    ) -> Run[Any]:
        site = await self._opened_site()
        signature = ambient.as_signature(signature)
        if labels:  # not label(): a stored run that stands for itself stays that run
            said = {name: str(value) for name, value in labels.items()}
            signature = replace(signature, labels={**signature.labels, **said})
        checked = site.checker.check(signature)
        here = running.get()
        content = None
        if key is not None or here is not None:
            content = content_hash(checked) + hashlib.sha256((message or "").encode()).hexdigest()
        run_id = self._run_id(key, content, here)
        if here is not None and key is not None:
            content = None  # the key alone says which it is: attempts may differ in content
        ttl = ttl if ttl is not None else checked.opts.ttl
        new = NewRun(
            id=run_id, signature=checked, message=message, content=content, start_key=key, ttl=ttl
        )
        started = message is not None
        parts = list(parts_of(signature) if started else parts_below(signature))
        await reserve(site.store, parts, run_id)
        hit("client.creating")
        created = await site.store.create(new)
        hit("client.created")
        if created.conflict:
            raise StartKeyConflict(
                f"run {run_id} with start key {key!r} has another signature or message: use "
                "another key for another flow"
            )
        for part, path in parts:
            await site.store.alias(part, key_of(run_id, path))
        return Run(self, run_id, checked)

    def _run_id(self, key: str | None, content: str | None, here: Any) -> str:
        if here is not None:
            derived: str = here.id_for(content or "", key)
            return derived
        if key is not None:
            named = f"{self.settings.namespace}\n{key}"
            return f"k{hashlib.sha256(named.encode()).hexdigest()[:31]}"
        return f"{int(self.clock.now() * 1000):012x}{secrets.token_hex(10)}"

    async def load(self, key: str) -> Any:
        """A run by its id, or a node by its key. Raises `RunNotFound`."""
        store = await self.opened()
        node: Node[Any] = Node(self, key)
        view = await store.view(node.run_id)
        if view.alias_of is not None:
            return await self.load(view.alias_of)
        if key == view.id:
            return Run(self, key, view.signature, pending=view.started_at is None)
        await store.node(key)
        return node

    async def find(
        self,
        *,
        status: Status | str | None = None,
        task: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Found:
        """Runs that match all that is said, newest first, `limit` a page.

        since, until: when they were stored, seconds since the epoch. after: `next` of the page
        before. Raises `DataError` for one that no page has given.
        """
        if after is not None and not CURSOR.fullmatch(after):
            raise DataError(f"after={after!r} is no cursor: give `next` of the page before")
        store = await self.opened()
        query = Query(
            status=Status(status) if status is not None else None,
            task=task,
            name=name,
            labels=labels or {},
            since=since,
            until=until,
            limit=limit,
            after=after,
        )
        page = await store.find(query)
        runs: list[Run[Any]] = [
            Run(self, view.id, view.signature, pending=view.started_at is None)
            for view in page.runs
        ]
        return Found(runs, page.next)

    def check(self, signature: Signature[Any], depth: int = 0) -> Signature[Any]:
        """A signature as it would be stored; raises what is wrong with it."""
        checker = self._site.checker if self._site is not None else self._checker()
        return checker.check(signature, depth)

    def _checker(self) -> Checker:
        return Checker(
            self.registry,
            max_nodes=self.settings.max_nodes,
            max_value_bytes=self.settings.max_value_bytes,
            closed_world=False,
            backends=self.settings.backends,
            moved=self.settings.moved_tasks,
        )

    # --- open and closed ------------------------------------------------------------------------
    async def opened(self) -> Store:
        """The store, open in this event loop."""
        return (await self._opened_site()).store

    async def _opened_site(self) -> Site:
        if self.instead is not None:
            return await self.instead._opened_site()  # noqa: SLF001 - an app as this one
        if self._site is None and self._leaving is not None and running.get() is not None:
            return self._leaving  # to open another one would be to work on, unknown to all
        if self._site is None:
            if self._opening is None:
                self._opening = asyncio.Lock()
            async with self._opening:
                if self._site is None:
                    self._site = await self._open_site()
                    ambient.opened(self)
        if self._site.loop is not asyncio.get_running_loop():
            if self._site.loop.is_closed():
                self._site.abandon()
                self._site = self._opening = None  # that loop took its site with it
                return await self._opened_site()
            raise WrongEventLoop
        return self._site

    async def _open_site(self) -> Site:
        return await Site.open(self)

    async def close(self, *, grace: float | None = None) -> None:
        """Stop the worker in this process: bodies that run get `grace` seconds to end in, by
        default the setting `shutdown_grace`; then they are stopped. Called while that lasts, with
        less grace, it hurries it on, and returns at once."""
        site = self._site
        if site is None:
            if self._leaving is not None and grace is not None:
                self._leaving.worker.stop(grace)
            return
        here = site.loop is asyncio.get_running_loop()
        if not here and not site.loop.is_closed():
            raise WrongEventLoop
        self._site = self._opening = None
        ambient.closed(self)
        if here:
            self._leaving = site
            try:
                await site.close(grace)
            finally:
                if self._leaving is site:
                    self._leaving = None
        else:  # that loop took all else with it
            site.abandon()

    async def serve(self, *, stop: asyncio.Event | None = None) -> None:
        """Run a worker in this process until `stop` is set or, without one, SIGTERM or SIGINT
        comes; then close as `close` does. A second signal stops the bodies at once.

        Raises `ConfigurationError` where a worker would have nothing to do, or runs in another
        thread than the main one without `stop`; what opening raises; and what its backend fails
        with.
        """
        await (self.instead.serve(stop=stop) if self.instead is not None else serve(self, stop))

    async def health(self, backend: str | None = None) -> Health:
        """What a backend says of its engine, by default the first one; see `Health`."""
        site = await self._opened_site()
        return await site.backends[backend or self.settings.backends[0]].health()

    @property
    def is_open(self) -> bool:
        """In this process, on whatever event loop."""
        return self._site is not None

    @property
    def worker_id(self) -> str | None:
        """Of the worker that runs in this process; `None` where none does."""
        site = self._site or self._leaving
        return site.worker.id if site is not None and site.works else None

    def unfinished(self) -> list[str]:
        """Keys of the bodies that run in this process now."""
        site = self._site or self._leaving
        bodies = site.runner.bodies.values() if site is not None else ()
        return [key_of(body.run_id, body.path) for body in bodies]

    async def __aenter__(self) -> Self:
        await self._opened_site()
        self._entered.append(entered.set(self))
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_exc: object) -> None:
        self._leave()
        if not self._entered:
            # Who leaves by an error or Ctrl-C does not want to wait for what still runs.
            await self.close(grace=None if error is None else 0.0)

    # --- for scripts ----------------------------------------------------------------------------
    def run_sync(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the app's own loop thread or, as in a sync body, on the loop that
        the app is open in. Raises `InsideEventLoop`."""
        if self.instead is not None:
            return self.instead.run_sync(coroutine)
        site = self._site or (self._leaving if running.get() is not None else None)
        loop = site.loop if site is not None else None
        return self._loop_thread.run(coroutine, loop if loop and loop.is_running() else None)

    def start_sync(
        self,
        signature: Any,
        message: Any = NOTHING,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
    ) -> Run[Any]:
        return self.run_sync(self.start(signature, message, key=key, labels=labels, ttl=ttl))

    def close_sync(self) -> None:
        self.run_sync(self.close())
        self._loop_thread.close()

    def __enter__(self) -> Self:
        self.run_sync(self._opened_site())
        self._entered.append(entered.set(self))
        return self

    def __exit__(self, *_exc: object) -> None:
        self._leave()
        if not self._entered:
            self.close_sync()

    def _leave(self) -> None:
        """Tasks leave in another order than they entered, or in another context."""
        for token in reversed(self._entered):
            with suppress(ValueError):
                entered.reset(token)
                self._entered.remove(token)
                return
        self._entered.pop()

    def forget(self) -> None:
        """In a forked child: what is open belongs to the parent."""
        self._site = self._leaving = self._opening = None
        self._loop_thread = LoopThread()

    def __repr__(self) -> str:
        return f"<Mageflow {self.settings.namespace!r} on {self.settings.backend}>"
