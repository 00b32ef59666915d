"""Records of both stores, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mageflow_core.machine import Node
from mageflow_core.machine.records import Inner, Run
from mageflow_core.signatures.signature import GraphSignature, Signature
from mageflow_core.stores.redis.records import unpacked
from mageflow_core.stores.redis.snapshot import LONG, Snapshot, complete

Form = dict[str, Any]

TIMES = ("due", "queued_at", "started_at", "ended_at", "created_at", "settled_at", "deadline",
         "reserved_at", "ttl")  # fmt: skip
NODE = [f.name for f in fields(Node) if f.name != "signature"]
INNER = [f.name for f in fields(Inner)]
RUN = [f.name for f in fields(Run) if f.name not in ("signature", "name", "labels")]


def form_of(record: Any, names: list[str]) -> Form:
    form = {name: getattr(record, name) for name in names}
    for name in TIMES:
        if form.get(name) is not None:
            form[name] = round(form[name] * 1000)
    return form


def form_of_run(run: Run) -> Form:
    return form_of(run, RUN)


def form_of_node(node: Node) -> Form:
    form = form_of(node, NODE)
    if node.inner is not None:
        form["inner"] = form_of(node.inner, INNER)
    return form


def form_in_memory(node: Node) -> Form:
    form = form_of_node(node)
    if node.inner is not None and isinstance(node.signature, GraphSignature):  # names in Redis
        order, inner = node.signature.order, form["inner"]
        inner["ready"] = tuple(order[position] for position in inner["ready"])
        inner["telling"] = tuple((order[position], told) for position, told in inner["telling"])
    return form


class Whole(dict[str, str | None]):
    """Fields of which none is still to be read."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        return None


class StoredRun:
    """A run's hash. values: places of values that have keys of their own → texts."""

    def __init__(self, run_id: str, fields: Mapping[str, str], values: Mapping[str, str]) -> None:
        self.id = run_id
        self.fields = fields
        self.snapshot = Snapshot(run_id)
        self.snapshot.fields = Whole(fields)
        self.snapshot.fields |= {LONG + place: text for place, text in values.items()}
        self.data = unpacked(fields["run"])

    def paths(self) -> set[str]:
        return {name[1:] for name in self.fields if name[0] == "n"}

    def node(self, path: str) -> Form:
        node = self.snapshot.node(path)
        assert node is not None
        return form_of_node(node)

    def signature_number(self, path: str) -> str:
        number: str = unpacked(self.fields[f"n{path}"])["sig"]
        return number

    def signature(self, number: str) -> Signature[Any]:
        found: Signature[Any] = complete(self.snapshot.signature(number))
        return found
