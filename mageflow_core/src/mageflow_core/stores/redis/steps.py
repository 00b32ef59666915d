"""The store's steps: which files each script is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mageflow_core.stores.redis.scripts import NOTHING, Script, compose

BUCKET = ("clock", "fresh", "names")
READING = (*BUCKET, "lazy", "draft", "index", "effects")
RECORDS = (*READING, "making", "values", "parking")
MACHINE = (
    *RECORDS,
    "above",
    "children",
    "turning",
    "life",
    "chain",
    "swarm",
    "graph",
    "continuation",
    "containers",
)
LAZY: Mapping[str, str] = {
    "index": "index",
    "effects": "effects",
    "parking": "parking",
    "turning": "life",
    "chain": "chain",
    "swarm": "swarm",
    "graph": "graph",
    "continuation": "continuation",
    "queueing": "queueing",
    "locating": "locating",
    "retrying": "retrying",
    "growing": "growing",
}

# What many ask for at the same time.
TOGETHER = ("create", "claim", "report", "confirm")

PARTS: Mapping[str, tuple[str, ...]] = {
    # steps of a run
    "stage": ("stage",),
    "create": (*MACHINE, "starting", "create"),
    "start": (*MACHINE, "errors", "starting", "start"),
    "reserve": (*RECORDS, "errors", "reserve"),
    "alias": (*RECORDS, "errors", "alias"),
    "add": (*MACHINE, "errors", "locating", "growing", "add"),
    "close": (*MACHINE, "errors", "locating", "growing", "close"),
    "steer": (*MACHINE, "errors", "locating", "retrying", "steer"),
    "claim": (*READING, "parking", "above", "claim"),
    "report": (*MACHINE, "queueing", "report"),
    "lose": (*MACHINE, "queueing", "lose"),
    "fire": (*MACHINE, "fire"),
    "resend": (*RECORDS, "resend"),
    "confirm": (*RECORDS, "confirm"),
    "unknown": (*RECORDS, "unknown"),
    "watch": (*BUCKET, "watch"),
    "several": ("steps", *MACHINE, "queueing", "starting", *TOGETHER, "several"),
    # of a bucket
    "look": (*BUCKET, "look"),
    "overdue": (*BUCKET, "overdue"),
    "unsent": (*BUCKET, "unsent"),
    "renew": (*BUCKET, "renew"),
    "claims": (*BUCKET, "claims"),
    "leave": (*BUCKET, "leave"),
    "find": (*BUCKET, "find"),
    "counts": (*BUCKET, "counts"),
    # of a namespace
    "register": (*BUCKET, "register"),
}


class Steps:
    """The scripts by name. instead: texts of parts, in place of their files."""

    def __init__(self, instead: Mapping[str, str] = NOTHING) -> None:
        self._scripts = {
            name: compose(
                name,
                parts,
                instead=instead,
                lazy=LAZY,
                within=TOGETHER if name == "several" else (),
            )
            for name, parts in PARTS.items()
        }

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]

    def __iter__(self) -> Iterator[Script]:
        return iter(self._scripts.values())
