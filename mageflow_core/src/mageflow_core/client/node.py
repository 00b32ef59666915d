"""A node of a run, from outside: to look at, to wait for, to steer."""

from __future__ import annotations

import asyncio
import secrets
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mageflow_core.client.parts import parts_of, reserve
from mageflow_core.client.results import raise_ending, typed, typed_item
from mageflow_core.errors import (
    CannotRetry,
    MageflowError,
    NotASwarm,
    RunNotFound,
    SignatureTooLarge,
    SwarmClosed,
    WaitTimeout,
    WouldDeadlock,
)
from mageflow_core.failure import ErrorInfo
from mageflow_core.machine import Add, Refusal, Status, Steer, Verb
from mageflow_core.names import is_below, split_key
from mageflow_core.runtime.running import Running, running
from mageflow_core.signatures.codec import content_hash
from mageflow_core.signatures.signature import Signature, as_signature
from mageflow_core.stores.protocol import NodeView, Store

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
CHUNK = 1_000

REFUSALS: dict[Refusal, tuple[type[MageflowError], str]] = {
    Refusal.NO_SUCH_NODE: (RunNotFound, "there is no node {key!r}"),
    Refusal.NOT_A_SWARM: (NotASwarm, "{key!r} is not a swarm: only a swarm takes items"),
    Refusal.CLOSED: (
        SwarmClosed,
        (
            "swarm {key!r} is closed or has ended and takes no more items: make it with "
            "open=True, and add before close()"
        ),
    ),
    Refusal.FULL: (
        SwarmClosed,
        "swarm {key!r} would have more than its max_tasks items; none of these was added",
    ),
    Refusal.TOO_LARGE: (
        SignatureTooLarge,
        "swarm {key!r} would have more than max_nodes items; none of these was added",
    ),
}


class Node(Generic[R_co]):
    """One node, by its key. Holds no state: each call asks the store.

    Every async method `x` here that people need in scripts has a sync twin `x_sync`, which
    raises `InsideEventLoop` in a running event loop. All raise `RunNotFound` where the run has
    expired, `StoreUnavailable` where the store does not answer.
    """

    def __init__(self, app: Mageflow, key: str, signature: Signature[Any] | None = None) -> None:
        self._app = app
        self._signature = signature
        self.key = key

    @property
    def run_id(self) -> str:
        return split_key(self.key)[0]

    async def _opened(self) -> Store:
        return await self._app.opened()

    # --- looking --------------------------------------------------------------------------------
    async def view(self) -> NodeView:
        """All that is known of the node itself."""
        store = await self._opened()
        return await store.node(self.key)

    async def status(self) -> Status:
        return (await self.view()).status

    async def error(self) -> ErrorInfo | None:
        """Why it failed, from where it failed; `None` if it has not."""
        return (await self.view()).error

    async def children(self) -> AsyncIterator[Node[Any]]:
        """Its steps, items or nodes, then continuations and callbacks that have become due."""
        store = await self._opened()
        first = 0
        while views := await store.children(self.key, first, CHUNK):
            for view in views:
                yield Node(self._app, view.key)
            first += len(views)

    @property
    def parent(self) -> Node[Any] | None:
        """The container around it, or a callback's owner; `None` for a root. Of a continuation,
        what that one stands in for is passed over."""
        path = split_key(self.key)[1]
        while "~" in path[path.rfind("/") + 1 :]:
            path = path[: path.rfind("~")]
        if not path:
            return None
        return Node(self._app, self.run_id + path[: path.rfind("/")])

    def __getitem__(self, position: int | str) -> Node[Any]:
        """A step or item by number, a graph's node by name."""
        return Node(self._app, f"{self.key}/{position}")

    # --- waiting --------------------------------------------------------------------------------
    async def wait(self, *, timeout: float | None = None) -> NodeView:
        """Wait until it has ended, however. Raises `WaitTimeout` after `timeout` seconds, and
        `WouldDeadlock` in a task that it waits for itself."""
        return await self._wait(lambda store: store.wait(self.key, "ended"), timeout)

    async def _wait(
        self,
        begin: Callable[[Store], Awaitable[T]],
        timeout: float | None,
        *,
        settling: bool = False,
    ) -> T:
        store = await self._opened()
        here = running.get()
        if here is not None and (settling or not (await self.status()).ended):
            self._refuse_deadlock(here, settling=settling)
        try:
            async with asyncio.timeout(timeout):
                return await begin(store)
        except TimeoutError as error:
            raise WaitTimeout(
                f"{self.key} has not {'settled' if settling else 'ended'} within {timeout:g} s; "
                "it goes on"
            ) from error

    def _refuse_deadlock(self, here: Running, *, settling: bool) -> None:
        run_id, path = split_key(here.key)
        if run_id == self.run_id:
            own = split_key(self.key)[1]
            parent = own[: own.rfind("/")] if "/" in own else None
            within = is_below(path, own, callbacks=settling)
            if within or (parent is not None and is_below(path, parent, callbacks=False)):
                raise WouldDeadlock(
                    f"{here.key} waits for {self.key}, which may need the slot that it holds: "
                    "return the signature instead of waiting for it"
                )
        warnings.warn(
            f"a task waits for {self.key} and holds its slot meanwhile: return the signature "
            "instead, and the flow goes on with it",
            RuntimeWarning,
            stacklevel=4,
        )

    async def result(self, *, timeout: float | None = None) -> R_co:
        """Wait for the result, and give it as the task's return annotation says.

        Raises `TaskFailed`, `SwarmFailed`, `GraphFailed`, `WorkerLost`, `DeadlineExceeded` (all
        with `.error`) or `RunCanceled` if it ended without one, `WaitTimeout` after `timeout`
        seconds.
        """
        view, text = await self._wait(lambda store: store.outcome(self.key), timeout)
        if view.status is not Status.DONE:
            raise_ending(view)
        value: R_co = typed(self._app.registry, await self._its_signature(), text or "null")
        return value

    async def _its_signature(self) -> Signature[Any]:
        if self._signature is None:
            store = await self._opened()
            self._signature = await store.signature(self.key)
        return self._signature

    async def results(self) -> AsyncIterator[Any]:
        """Results of a swarm's items in order, `None` where there is none, read in chunks."""
        store = await self._opened()
        signature = await self._its_signature()
        first = 0
        while texts := await store.values(self.key, first, CHUNK):
            for position, text in enumerate(texts, first):
                yield typed_item(self._app.registry, signature, position, text)
            first += len(texts)

    # --- steering -------------------------------------------------------------------------------
    async def suspend(self) -> bool:
        """Let nothing below begin until `resume`; what runs goes on. True if that applies, False
        if it had ended."""
        return await self._steer(Verb.SUSPEND)

    async def resume(self) -> bool:
        return await self._steer(Verb.RESUME)

    async def interrupt(self) -> bool:
        """As `suspend`, and stop the bodies that run; they run again after `resume`."""
        return await self._steer(Verb.INTERRUPT)

    async def cancel(self) -> bool:
        """End it: nothing below begins any more, running bodies are stopped."""
        return await self._steer(Verb.CANCEL)

    async def retry(self) -> None:
        """Run again what failed, was canceled or skipped here and in the ended containers above.
        Raises `CannotRetry`."""
        store = await self._opened()
        path = split_key(self.key)[1]
        steered = await store.steer(self.run_id, Steer(path, Verb.RETRY, _new_id()))
        if not steered.applied:
            raise CannotRetry(f"{self.key} cannot run again: {steered.why}")

    async def _steer(self, verb: Verb) -> bool:
        store = await self._opened()
        path = split_key(self.key)[1]
        return (await store.steer(self.run_id, Steer(path, verb, _new_id()))).applied

    # --- swarms ---------------------------------------------------------------------------------
    async def add(self, *items: Any, key: str | None = None) -> list[Node[Any]]:
        """Add items to an open swarm; gives their nodes. All are added, or none.

        Inside a task, a retried body finds what it added before by content; where that differs
        between attempts, give a `key`. Raises `SwarmClosed`, `NotASwarm` and what building and
        checking a signature raises.
        """
        store = await self._opened()
        many: Iterable[Any] = items[0] if len(items) == 1 and isinstance(items[0], list) else items
        swarm = await self._standing_in(await self.view())
        signed = [as_signature(item) for item in many]
        checked = tuple(self._app.check(item, swarm.depth) for item in signed)
        if not checked:
            return []
        here = running.get()
        add_id = key or _new_id()
        if here is not None:
            content = "\n".join([self.key, *map(content_hash, checked)])
            add_id = here.id_for(content, key)
        path = split_key(self.key)[1]
        await reserve(store, [part for item in signed for part in parts_of(item)], self.run_id)
        answer = await store.add(self.run_id, Add(path, add_id, checked))
        if isinstance(answer, Refusal):
            error, text = REFUSALS[answer]
            raise error(text.format(key=self.key))
        for item, position in zip(signed, answer, strict=True):
            for part, below in parts_of(item, f"{swarm.key}/{position}"):
                await store.alias(part, below)
        return [Node(self._app, f"{swarm.key}/{position}") for position in answer]

    async def _standing_in(self, view: NodeView) -> NodeView:
        """What a continued task goes on as; itself, if it was not continued."""
        store = await self._opened()
        while view.kind == "task":
            below = await store.children(view.key, 0, CHUNK)
            later = [child for child in below if child.role == "continuation"]
            if not later:
                break
            view = later[-1]
        return view

    async def close(self) -> None:
        """Take no more items: the swarm ends with those it has. Raises `NotASwarm`."""
        store = await self._opened()
        refusal = await store.close_swarm(self.run_id, split_key(self.key)[1])
        if refusal is not None:
            error, text = REFUSALS[refusal]
            raise error(text.format(key=self.key))

    # --- for scripts ----------------------------------------------------------------------------
    def status_sync(self) -> Status:
        return self._app.run_sync(self.status())

    def wait_sync(self, *, timeout: float | None = None) -> NodeView:
        return self._app.run_sync(self.wait(timeout=timeout))

    def result_sync(self, *, timeout: float | None = None) -> R_co:
        return self._app.run_sync(self.result(timeout=timeout))

    def suspend_sync(self) -> bool:
        return self._app.run_sync(self.suspend())

    def resume_sync(self) -> bool:
        return self._app.run_sync(self.resume())

    def interrupt_sync(self) -> bool:
        return self._app.run_sync(self.interrupt())

    def cancel_sync(self) -> bool:
        return self._app.run_sync(self.cancel())

    def retry_sync(self) -> None:
        self._app.run_sync(self.retry())

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.key}>"


def _new_id() -> str:
    return secrets.token_hex(16)
