"""What has been read of a run so far, for functions that read it like any other run.

Asking for what is not here raises `Missing`; the reader fetches that and asks again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from mageflow_core.errors import RunNotFound, StoreError
from mageflow_core.machine import Node, Run
from mageflow_core.signatures.codec import PARTS, head_loads, signature_loads
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.redis.plan import number_in
from mageflow_core.stores.redis.records import INLINE, VERSION, node_of, run_of, unpacked

FIXED = "sbog"  # what fields begin with that never change: signatures
LONG = "\0"  # before the place of a value that has a key of its own


class Missing(Exception):
    """These fields have not been read yet."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = names


class Snapshot:
    """Implements `machine.Stored`."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self.fields: dict[str, str | None] = {}
        self._nodes: dict[str, Node | None] = {}
        self._run: Run | None = None
        self._heads: dict[str, Signature[Any]] = {}

    def renewed(self) -> Snapshot:
        """For another moment of the run: with what cannot have changed."""
        made = Snapshot(self.id)
        made.fields = {
            name: text
            for name, text in self.fields.items()
            if text is not None and name[0] in FIXED
        }
        return made

    # --- what the machine reads -----------------------------------------------------------------
    @property
    def run(self) -> Run:
        if self._run is None:
            data = unpacked(self.needed("run"))
            if data.get("v", VERSION) > VERSION:
                raise StoreError(f"run {self.id} was stored by a newer MageFlow: upgrade this one")
            self._run = run_of(self.id, data, lambda: self.signature("0.1"), self.message)
        return self._run

    def node(self, path: str) -> Node | None:
        if path not in self._nodes:
            text = self.text(f"n{path}")
            self._nodes[path] = self._decoded(path, unpacked(text)) if text else None
        return self._nodes[path]

    def added_item(self, path: str, number: int) -> Signature[Any]:
        made = len(self._node_signature(path).children)
        return self.signature(self.needed(f"i{path}/{made + number}"))

    def added_before(self, path: str, add_id: str) -> tuple[int, int] | None:
        text = self.text(f"a{path} {add_id}")
        first, count = map(int, text.split()) if text else (0, 0)
        return (first, count) if text else None

    def parked_at(self, path: str, limit: int) -> Sequence[str]:  # noqa: ARG002
        """Readers park nothing."""
        return ()

    # --- fields -----------------------------------------------------------------------------------
    def text(self, name: str) -> str | None:
        if name not in self.fields:
            raise Missing(name)
        return self.fields[name]

    def needed(self, name: str) -> str:
        text = self.text(name)
        if text is None:
            raise RunNotFound(f"no run {self.id!r}: it may have expired")
        return text

    def message(self) -> str:
        return self.text("m") or self.needed(f"{LONG}$")

    def _decoded(self, path: str, data: Mapping[str, Any]) -> Node:
        place = f"v{path}" if data.get("val", 0) <= INLINE else LONG + path
        return node_of(
            path,
            data,
            self.needed,
            signature=lambda: self.signature(data["sig"]),
            value=lambda: self.needed(place),
        )

    def _node_signature(self, path: str) -> Signature[Any]:
        node = self.node(path)
        assert node is not None
        return node.signature

    # --- signatures -------------------------------------------------------------------------------
    def signature(self, number: str) -> Signature[Any]:
        """A signature whose parts are read when they are asked for. number: `plan.number`."""
        found = self._heads.get(number)
        if found is None:
            found = self._heads[number] = self._head(number)
        return found

    def _head(self, number: str) -> Signature[Any]:
        if f"s{number}" not in self.fields or f"b{number}" not in self.fields:
            raise Missing(f"s{number}", f"b{number}")
        header, body = json.loads(self.needed(f"s{number}")), self.needed(f"b{number}")
        if header["kind"] == "task":
            return signature_loads(body)
        plan = number[: number.index(".") + 1]
        parts: dict[str, Any] = {
            name: _Parts(self, [plan + str(each) for each in header.get(short, ())])
            for name, short in (("success_callbacks", "ok"), ("error_callbacks", "err"))
        }
        if header["kind"] == "graph":
            parts["nodes"] = _Nodes(self, number, json.loads(self.needed(f"o{number}")))
        else:
            parts["steps"] = parts["items"] = _Items(self, plan, header["of"], header["n"])
        return head_loads(body, parts)

    def part_of_graph(self, number: str, name: str) -> str:
        plan = number[: number.index(".") + 1]
        return plan + str(json.loads(self.needed(f"g{number}/{name}"))["sig"])


class _Parts(Sequence[Signature[Any]]):
    """Signatures inside another, read one by one."""

    def __init__(self, snapshot: Snapshot, numbers: Sequence[str]) -> None:
        self._snapshot = snapshot
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, position: int) -> Signature[Any]: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Signature[Any]]: ...
    def __getitem__(self, position: Any) -> Any:
        return self._snapshot.signature(self._numbers[position])


class _Items(_Parts):
    """The same, for as many as a swarm may have."""

    def __init__(
        self, snapshot: Snapshot, plan: str, ranges: Sequence[Sequence[int]], count: int
    ) -> None:
        super().__init__(snapshot, ())
        self._plan = plan
        self._ranges = ranges
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: Any) -> Any:
        if not 0 <= position < self._count:
            raise IndexError(position)
        return self._snapshot.signature(f"{self._plan}{number_in(self._ranges, position)}")


class _Nodes(Mapping[str, Signature[Any]]):
    """The nodes of a graph, read one by one."""

    def __init__(self, snapshot: Snapshot, number: str, names: Sequence[str]) -> None:
        self._snapshot = snapshot
        self._number = number
        self._names = dict.fromkeys(names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    @property
    def in_order(self) -> Sequence[Signature[Any]]:
        return _InOrder(self, tuple(self._names))

    def __getitem__(self, name: str) -> Signature[Any]:
        if name not in self._names:
            raise KeyError(name)
        return self._snapshot.signature(self._snapshot.part_of_graph(self._number, name))


class _InOrder(Sequence[Signature[Any]]):
    def __init__(self, nodes: _Nodes, names: tuple[str, ...]) -> None:
        self._nodes = nodes
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, position: Any) -> Any:
        return self._nodes[self._names[position]]


def complete(signature: Signature[Any]) -> Signature[Any]:
    """The signature with all that is inside it. Raises `Missing` with all that is wanted next."""
    made: dict[int, Signature[Any]] = {}
    missing: list[str] = []

    def each(inside: Sequence[Any]) -> tuple[Signature[Any], ...]:
        found = []
        for position in range(len(inside)):
            try:
                found.append(copy(inside[position]))
            except Missing as error:
                missing.extend(error.names)
        return tuple(found)

    def copy(original: Signature[Any]) -> Signature[Any]:
        if id(original) not in made:
            parts: dict[str, Any] = {
                name: each(getattr(original, name))
                for name in PARTS
                if name != "nodes" and isinstance(getattr(original, name, None), _Parts)
            }
            nodes = getattr(original, "nodes", None)
            if isinstance(nodes, _Nodes):
                values = each(nodes.in_order)
                parts["nodes"] = dict(zip(nodes, values, strict=False))
            made[id(original)] = replace(original, **parts) if parts and not missing else original
        return made[id(original)]

    copied = copy(signature)
    if missing:
        raise Missing(*missing)
    return copied
