"""Records as they stand in Redis, back as the machine's own. Times are milliseconds there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack  # type: ignore[import-untyped] # it has no types

from mageflow_core.failure import Cause
from mageflow_core.machine import Event, Failure, Job, Mark, Node, Run, Status
from mageflow_core.machine.records import Claim, Inner
from mageflow_core.names import depth_of, parent_of, role_of
from mageflow_core.signatures.signature import Signature

VERSION: Final = 1  # of records; see `draft.lua`
INLINE: Final = 65_536  # bytes; longer values have keys of their own
ENDED: Final = "ended"  # what news of a run begin with, and all of them where much was written


class _Lazy:
    """A field that is read when somebody asks for it. It is set to the way to read it, or to what
    it is."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._kept = f"_{name}"

    def __get__(self, record: Any, owner: type) -> Any:
        kept = getattr(record, self._kept)
        if isinstance(kept, Later):
            kept = kept.read()
            setattr(record, self._kept, kept)
        return kept

    def __set__(self, record: Any, value: Any) -> None:
        setattr(record, self._kept, value)


class Later(NamedTuple):
    read: Callable[[], Any]


class StoredNode(Node):
    """kind: its signature's, without reading that."""

    __slots__ = ("_signature", "_value", "kind")

    kind: str
    signature = _Lazy()
    value = _Lazy()

    def copy(self) -> Node:
        return self  # readers throw their drafts away


class StoredRun(Run):
    __slots__ = ("_message", "_signature")

    signature = _Lazy()
    message = _Lazy()


def unpacked(text: str) -> Any:
    """A record or event. Replies are read as text, and these are not: see `encoding_errors`."""
    return msgpack.unpackb(text.encode("utf-8", "surrogateescape"))


def written_in(news: str) -> dict[str, str]:
    """The fields that were written with an end that is told of, where they are told with it."""
    said = news.removeprefix(ENDED)
    if said in ("", news):
        return {}
    words = msgpack.unpackb(
        said.encode("utf-8", "surrogateescape"), unicode_errors="surrogateescape"
    )
    return dict(zip(words[::2], words[1::2], strict=True))


def is_done(node: str) -> bool:
    """Whether that is the status in a node's record: no other is for good."""
    return bool(unpacked(node).get("st") == Status.DONE)


def seconds(milliseconds: float | None) -> float | None:
    return milliseconds / 1000 if milliseconds is not None else None


def node_of(
    path: str,
    data: Mapping[str, Any],
    text_of: Callable[[str], str],
    signature: Callable[[], Signature[Any]],
    value: Callable[[], str],
) -> StoredNode:
    """text_of: the text of a field, for the data of errors. signature, value: how they are read."""
    get = data.get
    node = StoredNode(
        path,
        parent_of(path),
        get("pos", 0),
        role_of(path),
        Later(signature),  # type: ignore[arg-type] # as a lazy field takes it
        depth_of(path),
        message=get("msg", "$"),
        previous=get("prev"),
        dependencies=tuple((name, ref) for name, ref in get("deps", ())),
        status=Status(get("st", "pending")),
        mark=Mark(data["mark"]) if "mark" in data else None,
        ending=Status(data["ending"]) if "ending" in data else None,
        generation=get("gen", 1),
        round=get("round", 1),
        slot="slot" in data,
        told=get("told", 0),
        attempt=get("attempt", 0),
        attempts_before=get("before", 0),
        sends=get("sends", 0),
        crashes=get("crashes", 0),
        fence=get("fence", 0),
        claim=_claim(data),
        last_claim=get("last"),
        last_request=get("last_request"),
        due=seconds(get("due")),
        queued_at=seconds(get("queued")),
        started_at=seconds(get("started")),
        ended_at=seconds(get("ended")),
        worker=get("worker"),
        value=Later(value) if "val" in data else None,  # type: ignore[arg-type]
        result=_ref(get("res"), path),
        carried=_ref(get("carried"), path),
        used_previous="used" in data,
        failure=_failure(get("failure"), text_of),
        error=get("error"),
        bodies=get("bodies", 0),
        inner=_inner(get("inner")),
    )
    node.kind = get("kind", "task")
    if "about" in data:
        about, *failure = data["about"]
        known = _failure(failure, text_of)
        assert known is not None
        node.about = (about, known)
    return node


def _ref(value: Any, own: str) -> str | None:
    """A node that is the source of its own result does not say its path."""
    return own if value is True else value


def _claim(data: Mapping[str, Any]) -> Claim | None:
    if "claim" not in data:
        return None
    return Claim(data["claim"], data["worker"], data["fence"], "held" in data)


def _failure(data: Sequence[Any] | None, text_of: Callable[[str], str]) -> Failure | None:
    if not data:
        return None
    cause, *field = data
    return Failure(Cause(cause), text_of(field[0]) if field and field[0] else None)


def _inner(data: Mapping[str, Any] | None) -> Inner | None:
    """Nodes of a graph are named in `ready` and `telling`, not numbered; no reader asks."""
    if data is None:
        return None
    get = dict(data).get  # an empty table is a list there
    return Inner(
        cursor=get("cursor", 0),
        begun=get("begun", 0),
        done=get("done", 0),
        failed=get("failed", 0),
        canceled=get("canceled", 0),
        ready=tuple(get("ready", ())),
        telling=tuple((name, told) for name, told in get("telling", ())),
        failures=tuple(get("failures", ())),
        closed="open" not in data,
        added=get("added", 0),
        continuation=get("cont", 0),
    )


def run_of(
    run_id: str,
    data: Mapping[str, Any],
    signature: Callable[[], Signature[Any]],
    message: Callable[[], str],
) -> StoredRun:
    get = data.get
    return StoredRun(
        run_id,
        Later(signature),  # type: ignore[arg-type] # as lazy fields take them
        Later(message),  # type: ignore[arg-type]
        data["created"] / 1000,
        version=get("v", VERSION),
        content=get("content"),
        start_key=get("key"),
        ttl=data["ttl"] / 1000,
        start_id=get("start_id"),
        started_at=seconds(get("started")),
        deadline=seconds(get("deadline")),
        settled_at=seconds(get("settled")),
        callbacks=get("cbs", 0),
        marks=get("marks", 0),
        reopened=get("reopened", 0),
        reserved_by=get("by"),
        reserved_at=seconds(get("by_at")),
        alias_of=get("alias"),
    )


def event_of(text: str) -> Event:
    at, what, path, worker, detail = unpacked(text)
    return Event(at / 1000, what, path, worker or None, detail)


def jobs_of(run_id: str, rows: Sequence[Sequence[Any]]) -> list[Job]:
    return [
        Job(run_id + path, attempt, send, task, backend, queue or None, priority or None)
        for path, attempt, send, task, backend, queue, priority in rows
    ]
