"""The reading half of the Redis store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Draft, Event, Node, Status, locate, shown
from mageflow_core.machine.records import MESSAGE
from mageflow_core.names import child_path, split_key
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores import reading
from mageflow_core.stores.protocol import NodeView, Page, Query, RunView, Until, Work
from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.finding import Finder, cursor
from mageflow_core.stores.redis.inbox import Inbox
from mageflow_core.stores.redis.reader import Reader, lineage
from mageflow_core.stores.redis.records import event_of, is_done, unpacked, written_in
from mageflow_core.stores.redis.server import Server
from mageflow_core.stores.redis.snapshot import Snapshot, complete
from mageflow_core.stores.redis.texts import item_text, text_of

T = TypeVar("T")

LOOK_AGAIN = 5.0  # seconds after which a waiter looks without having been told
ITEMS_AT_ONCE = 1_000
MANY = ""  # in place of a result: no text of one is empty
WHOLE = ("s0.1", "b0.1")  # fields of a run's own signature


class Views:
    def __init__(self, server: Server, channel: Channel) -> None:
        self.server = server
        self.channel = channel
        self.inbox = Inbox(channel, server.keys)
        self._reader = Reader(server)
        self._finder = Finder(server)
        self._waiting: set[asyncio.Event] = set()
        self._over: Exception | None = None

    # --- one node -------------------------------------------------------------------------------
    async def node(self, key: str) -> NodeView:
        run_id, path = split_key(key)
        return await self._reader.one(
            run_id, path, lambda draft: reading.node_view(draft, _located(draft, path))
        )

    async def children(self, key: str, first: int, count: int) -> Sequence[NodeView]:
        run_id, path = split_key(key)
        snapshot = Snapshot(run_id)
        (paths,) = await self._reader.each(
            snapshot,
            [lambda draft: reading.child_paths(draft, _located(draft, path), first, count)],
            *lineage(path),
        )
        views = [partial(reading.located_view, path=each) for each in paths]
        return await self._reader.each(snapshot, views, *(f"n{each}" for each in paths))

    async def signature(self, key: str) -> Signature[Any]:
        run_id, path = split_key(key)
        return await self._reader.one(
            run_id, path, lambda draft: complete(_located(draft, path).signature)
        )

    async def holds(self, key: str, claim: str) -> bool:
        run_id, path = split_key(key)
        try:
            return await self._reader.one(
                run_id, path, lambda draft: reading.holds(draft, path, claim)
            )
        except RunNotFound:
            return False

    # --- values ---------------------------------------------------------------------------------
    async def value(self, key: str) -> str | None:
        run_id, path = split_key(key)
        snapshot = Snapshot(run_id)
        (source,) = await self._reader.each(
            snapshot, [lambda draft: _source(draft, path)], *lineage(path), f"v{path}"
        )
        if not source.ended:
            return None
        if not source.items:
            (text,) = await self._reader.each(snapshot, [lambda draft: text_of(draft, source.path)])
            return text
        texts: list[str] = []
        while page := await self.values(run_id + source.path, len(texts), ITEMS_AT_ONCE):
            texts += page
        return "[" + ",".join(texts) + "]"

    async def values(self, key: str, first: int, count: int) -> Sequence[str]:
        run_id, path = split_key(key)
        snapshot = Snapshot(run_id)
        (swarm,) = await self._reader.each(
            snapshot, [lambda draft: _source(draft, path)], *lineage(path)
        )
        positions = range(first, min(first + count, swarm.items))
        ahead = [f"{kind}{swarm.path}/{n}" for n in positions for kind in "nv"]
        reads = [partial(item_text, path=child_path(swarm.path, n)) for n in positions]
        return await self._reader.each(snapshot, reads, *ahead)

    async def work_of(self, run_id: str, path: str, claim: str) -> Work | None:
        """Of a claim that was granted: with what its answer did not have. `None` where it has been
        lost since."""
        snapshot = Snapshot(run_id)
        (node,) = await self._reader.each(snapshot, [lambda draft: draft.get(path)], *lineage(path))
        if node.claim is None or node.claim.id != claim:
            return None
        refs = [node.message, node.previous, *(ref for _, ref in node.dependencies)]
        for ref in {ref for ref in refs if ref is not None and ref != MESSAGE}:
            (made,) = await self._reader.each(snapshot, [partial(Draft.get, path=ref)], f"n{ref}")
            if made.inner is not None:  # put together here once, for whoever asks for it below
                made.value = await self.value(run_id + ref)
        (work,) = await self._reader.each(snapshot, [lambda d: reading.work_of(d, d.get(path))])
        return work

    # --- runs -----------------------------------------------------------------------------------
    async def view(self, run_id: str) -> RunView:
        return await self._reader.one(run_id, "", _run_view)

    async def history(self, run_id: str) -> Sequence[Event]:
        snapshot = Snapshot(run_id)
        await self._reader.each(snapshot, [lambda draft: draft.run], "l")
        made, most = int(snapshot.text("l") or 0), unpacked(snapshot.needed("run"))["cap"]
        fields = [f"h{number % most}" for number in range(max(0, made - most), made)]
        texts = await self._reader.each(
            snapshot, [partial(_text, snapshot, name) for name in fields], *fields
        )
        return [event_of(text) for text in texts if text is not None]

    async def find(self, query: Query) -> Page:
        found = await self._finder.page(query)
        more = len(found) > query.limit
        found = found[: query.limit]
        views = await asyncio.gather(*(self._view_or_none(run_id) for _, run_id in found))
        runs = tuple(view for view in views if view is not None)
        return Page(runs, cursor(found[-1]) if more else None)

    async def _view_or_none(self, run_id: str) -> RunView | None:
        try:
            return await self.view(run_id)
        except RunNotFound:  # it has expired since
            return None

    async def counts(self) -> Mapping[Status, int]:
        return await self._finder.counts()

    # --- waiting ----------------------------------------------------------------------------------
    async def wait(self, key: str, until: Until) -> NodeView:
        path = split_key(key)[1]
        return await self._look(key, until, partial(_view_of_ended, path=path, until=until))

    async def outcome(self, key: str) -> tuple[NodeView, str | None]:
        path = split_key(key)[1]
        view, text = await self._look(key, "ended", partial(_outcome, path=path), f"v{path}")
        return view, await self.value(key) if text == MANY else text

    async def _look(
        self, key: str, until: Until, look: Callable[[Draft], T | None], *also: str
    ) -> T:
        """Look now and whenever the run has changed, until that gives something. Of a run that is
        silent it is known that the first look would not."""
        run_id, path = split_key(key)
        silent = None if path else self.inbox.silent(run_id)
        woken = asyncio.Event()
        news: dict[str, str] = {}

        def tell(said: str) -> None:
            woken.set()
            written = written_in(said)
            # What the inbox tells may have been said before anybody waited: of what can change
            # after that it is no more than a sign to look.
            if silent is None or (until == "ended" and "n" in written and is_done(written["n"])):
                news.clear()
                news.update(written)

        self._waiting.add(woken)
        stop = None
        try:
            stop = await self._listen(run_id, tell, inbox=silent is not None)
            if path and until == "ended":
                await self.server.step("watch", run_id)
            snapshot = Snapshot(run_id)
            if silent is not None:
                snapshot.fields |= silent
                await self._until(woken)
            fields: tuple[str, ...] = (*lineage(path), *WHOLE, *also)
            while True:
                woken.clear()
                ahead = fields
                # All that can change is of one moment: of the news, where the whole lineage is in
                # them, or of one request.
                if news.keys() >= {*lineage(path)}:
                    snapshot.fields |= news
                    ahead = ()
                news.clear()
                (found,) = await self._reader.each(snapshot, [look], *ahead)
                snapshot = snapshot.renewed()
                if found is not None:
                    return found
                await self._until(woken)
        finally:
            self._waiting.discard(woken)
            if stop is not None:
                stop()

    async def _listen(
        self, run_id: str, tell: Callable[[str], None], *, inbox: bool
    ) -> Callable[[], None]:
        if inbox:
            return self.inbox.listen(run_id, tell)
        self.inbox.open()  # for runs that are started from now on
        return await self.channel.listen(self.server.keys.channel(run_id), tell)

    async def _until(self, woken: asyncio.Event) -> None:
        if self._over is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await woken.wait()
        if self._over is not None:
            raise self._over

    def end_waiting(self, error: Exception) -> None:
        """Nobody will wake them any more."""
        self._over = error
        for woken in self._waiting:
            woken.set()


def _located(draft: Draft, path: str) -> Node:
    node = locate(draft, path)
    if node is None:
        raise RunNotFound(f"run {draft.run.id!r} has no node {draft.run.id + path!r}")
    return node


def _text(snapshot: Snapshot, name: str, _draft: Draft) -> str | None:
    return snapshot.text(name)


class _Source(NamedTuple):
    """The node that made a result. items: how many it has, of a swarm."""

    path: str
    ended: bool
    items: int


def _source(draft: Draft, path: str) -> _Source:
    node = reading.source(draft, _located(draft, path))
    swarm = getattr(node, "kind", None) == "swarm"
    items = reading.child_count(node) if swarm else 0
    return _Source(node.path, node.result is not None, items)


def _view_of_ended(draft: Draft, path: str, until: Until) -> NodeView | None:
    node = _located(draft, path)
    over = shown(draft, node).ended if until == "ended" else draft.run.settled_at is not None
    return reading.node_view(draft, node) if over else None


def _outcome(draft: Draft, path: str) -> tuple[NodeView, str | None] | None:
    """`MANY` for a result that is not read at once."""
    view = _view_of_ended(draft, path, "ended")
    if view is None or view.status is not Status.DONE:
        return None if view is None else (view, None)
    source = _source(draft, path)
    if not source.ended:  # it was continued, and that has the result
        return view, None
    return view, MANY if source.items else text_of(draft, source.path)


def _run_view(draft: Draft) -> RunView:
    view = reading.run_view(draft)
    return replace(view, signature=complete(view.signature))
