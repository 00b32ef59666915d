"""A run, from outside."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mageflow_core.client.node import Node
from mageflow_core.errors import AlreadyStarted
from mageflow_core.machine import Event
from mageflow_core.signatures.signature import NOTHING, Signature
from mageflow_core.stores.protocol import NodeView, RunView, Store

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Tree:
    """A node and what is below it. more: children that were left out."""

    node: NodeView
    children: tuple[Tree, ...] = ()
    more: int = 0


class Run(Node[R_co]):
    """One execution of a signature; its own node is the root."""

    def __init__(
        self, app: Mageflow, key: str, signature: Signature[Any], *, pending: bool = False
    ) -> None:
        """pending: it was not started when it was last seen, and may become part of another."""
        super().__init__(app, key, signature)
        self.signature = signature
        self.id = key
        self._pending = pending

    async def _opened(self) -> Store:
        store = await self._app.opened()
        if self._pending:
            view = await store.view(self.id)
            if view.alias_of is not None:
                self.key = view.alias_of  # from now on it is that node
            self._pending = view.started_at is None and view.alias_of is None
        return store

    @property
    def labels(self) -> Mapping[str, str]:
        """What it can be found by; the `task_identifiers` of its signature."""
        return self.signature.labels

    @property
    def root(self) -> Node[R_co]:
        return self

    async def start(self, message: Any = NOTHING) -> Run[R_co]:
        """Start a stored run. Raises `AlreadyStarted` the second time."""
        store = await self._app.opened()
        text = self._app.message_text(message)
        refused = await store.start(self.id, text, secrets.token_hex(16))
        if refused is not None:
            raise AlreadyStarted(
                f"run {self.id} cannot be started: {refused}; build a new one from its signature"
            )
        return self

    async def info(self) -> RunView:
        """All that is known of the run itself."""
        store = await self._opened()
        return await store.view(self.run_id)

    async def settled(self, *, timeout: float | None = None) -> None:
        """Wait until it has ended and no callback is left."""
        await self._wait(lambda store: store.wait(self.key, "settled"), timeout, settling=True)

    async def history(self) -> Sequence[Event]:
        """What happened, oldest first; the newest few hundred events."""
        store = await self._opened()
        return await store.history(self.run_id)

    async def tree(self, *, depth: int = 32, width: int = 100) -> Tree:
        """The run's nodes, up to `width` children of each, with statuses, times and errors."""
        return await self._subtree(await self.view(), depth, width)

    async def _subtree(self, view: NodeView, depth: int, width: int) -> Tree:
        if depth <= 1:
            return Tree(view, (), view.children)
        store = await self._opened()
        views = await store.children(view.key, 0, width)
        children = [await self._subtree(child, depth - 1, width) for child in views]
        return Tree(view, tuple(children), max(0, view.children - width))

    async def nodes(self, *, width: int = 100) -> list[Node[Any]]:
        """The nodes of `tree()`, depth first, the root first."""
        found: list[Node[Any]] = []
        waiting = [await self.tree(width=width)]
        while waiting:
            tree = waiting.pop()
            found.append(Node(self._app, tree.node.key))
            waiting.extend(reversed(tree.children))
        return found

    def start_sync(self, message: Any = NOTHING) -> Run[R_co]:
        return self._app.run_sync(self.start(message))

    def settled_sync(self, *, timeout: float | None = None) -> None:
        self._app.run_sync(self.settled(timeout=timeout))

    def tree_sync(self, *, depth: int = 32, width: int = 100) -> Tree:
        return self._app.run_sync(self.tree(depth=depth, width=width))

    def __signature_of_run__(self) -> Signature[Any]:
        """A stored run can stand where a signature may: it becomes that node of the new run."""
        return replace(self.signature, stored=self.id)
