"""Compares all that is in the database with what the memory store holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from simulation.invariants import timers_of

from comparing.answers import equal
from comparing.beside import NAMESPACE, Contents
from comparing.records import Form, StoredRun, form_in_memory, form_of_run
from comparing.reference import Reference
from mageflow_core import machine
from mageflow_core.machine import Draft, Node
from mageflow_core.names import split_key
from mageflow_core.stores.memory.outbox import LONGEST_WAIT
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.redis.finding import indexes_of
from mageflow_core.stores.redis.keys import bucket_of
from mageflow_core.stores.redis.records import ENDED, event_of

WAITING, CLAIMED = 10**13, 10**14
Entry = tuple[str, str, str, float]  # tag, name of the set, member, score


class Comparison:
    """Of one pair of stores; remembers what cannot change any more."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._nodes: dict[tuple[str, str], tuple[str, Form]] = {}  # by the text of the record
        self._signatures: dict[tuple[str, str], list[Any]] = {}

    def compare(self, found: Contents) -> None:
        store = self.reference
        left = dict(found)
        for run_id, state in store.runs.items():
            self._run(run_id, state, left)
        self._ghosts(left)
        expected = self._sets()
        for name in [*left]:
            cleaned = name.endswith((":due", ":jobs"))
            if cleaned or name in expected:
                members = self._of_runs(left.pop(name)) if cleaned else left.pop(name)
                equal(members, expected.pop(name, {}), name)
        assert expected == {}, f"sets that are missing: {expected}"
        left.pop("clock")
        for name in self.remains(left):
            left.pop(name, None)
        assert_workers(store, left)
        assert left == {}, f"keys that nothing explains: {left}"

    # --- runs -------------------------------------------------------------------------------------
    def _run(self, run_id: str, state: RunState, left: Contents) -> None:
        tag, run = tag_of(run_id), state.run
        place = len(f"{tag}v:{run_id}")
        values = {key[place:]: left.pop(key) for key in left.pop(f"{tag}b:{run_id}", set())}
        stored = StoredRun(run_id, left.pop(f"{tag}r:{run_id}"), values)
        equal(form_of_run(stored.snapshot.run), form_of_run(run), f"the record of {run_id}")
        equal(stored.paths(), set(state.nodes), f"the nodes of {run_id}")
        for path, node in state.nodes.items():
            self._node(stored, node, path)
        parked = left.pop(f"{tag}p:{run_id}", {})
        equal(parked_of(parked), {at: list(p) for at, p in state._parked.items()}, "parked")
        self._history(stored, state)
        self._additions(stored, state)
        draft = Draft(state, self.reference.now(), self.reference.policy)
        equal(stored.data["shown"], machine.shown(draft, draft.get("")).value, "shown")

    def _node(self, stored: StoredRun, node: Node, path: str) -> None:
        text, name = stored.fields[f"n{path}"], stored.id + path
        known = self._nodes.get((stored.id, path))
        if known is None or known[0] != text:
            known = self._nodes[stored.id, path] = (text, stored.node(path))
            self._signature(stored, node, stored.signature_number(path))
        equal(known[1], form_in_memory(node), name)

    def _signature(self, stored: StoredRun, node: Node, number: str) -> None:
        known = self._signatures.setdefault((stored.id, number), [])
        if not any(each is node.signature for each in known):
            equal(stored.signature(number), node.signature, f"signature {number}")
            known.append(node.signature)

    def _history(self, stored: StoredRun, state: RunState) -> None:
        most = stored.data["cap"]
        made = int(stored.fields.get("l", 0))
        fields = [f"h{number % most}" for number in range(max(0, made - most), made)]
        equal(
            [name for name in fields if name not in stored.fields], [], "lines of history missing"
        )
        events = [event_of(stored.fields[name]) for name in fields]
        equal([tuple(e) for e in events], [tuple(e) for e in state.events], "history")

    def _additions(self, stored: StoredRun, state: RunState) -> None:
        made = {name[1:]: text for name, text in stored.fields.items() if name[0] == "a"}
        expected = {
            f"{path} {number}": f"{first} {count}"
            for (path, number), (first, count) in state._additions.items()
        }
        equal(made, expected, "additions")
        items = {name[1:] for name in stored.fields if name[0] == "i"}
        places = set()
        for path, added in state._added.items():
            first = len(state.nodes[path].signature.children)
            places |= {f"{path}/{first + number}" for number in range(len(added))}
            for number, signature in enumerate(added):
                field = stored.fields[f"i{path}/{first + number}"]
                equal(stored.signature(field), signature, f"item {first + number} of {path}")
        equal(items, places, "added items")

    # --- of removed runs --------------------------------------------------------------------------
    def _of_runs(self, members: Mapping[str, float]) -> dict[str, float]:
        """Without what is left of removed runs."""
        runs = self.reference.runs
        return {m: score for m, score in members.items() if run_of(m) in runs}

    def _ghosts(self, found: Contents) -> None:
        """Claims in removed runs: there are those that were held, or fewer by and by."""
        left = {
            key: round(score) - CLAIMED
            for name, members in found.items()
            if name.endswith(":jobs")
            for key, score in members.items()
            if score >= CLAIMED and run_of(key) not in self.reference.runs
        }
        ghosts = self.reference.ghosts
        assert left.items() <= ghosts.items(), f"claims in removed runs: {left}, not {ghosts}"
        self.reference.ghosts = left

    def remains(self, found: Contents) -> list[str]:
        """Keys of removed runs, and entries of them."""
        runs, names = self.reference.runs, []
        for name, value in found.items():
            kind, _, rest = name.partition("}:")[2].partition(":")
            if rest and kind in ("x", "b", "v") and run_of(rest.partition("$")[0]) not in runs:
                names.append(name)
            elif kind in ("due", "jobs"):
                names += [member for member in value if run_of(member) not in runs]
        return names

    # --- of buckets -------------------------------------------------------------------------------
    def _sets(self) -> dict[str, dict[str, float]]:
        """The sorted sets of all buckets, as they should be."""
        found: dict[str, dict[str, float]] = {}
        for tag, name, member, score in (*self._queues(), *self._indexes(), *self._leases()):
            found.setdefault(f"{tag}{name}", {})[member] = round(score)
        return found

    def _queues(self) -> Iterator[Entry]:
        store = self.reference
        for (run_id, (kind, path)), time in timers_of(store).items():
            yield tag_of(run_id), "due", f"{kind} {run_id}{path}", time * 1000
        for key, entry in store.outbox._unconfirmed.items():
            yield tag_of(run_of(key)), "jobs", key, entry.at * 1000 + 10_000
        for _, group in store.outbox._waiting:
            for key, entry in group.items():
                wait = min(60.0 * 2**entry.resends, LONGEST_WAIT)
                yield tag_of(run_of(key)), "jobs", key, WAITING + (entry.at + wait) * 1000
        for key, number in store.number_of.items():
            yield tag_of(run_of(key)), "jobs", key, CLAIMED + number

    def _indexes(self) -> Iterator[Entry]:
        store = self.reference
        for run_id, state in store.runs.items():
            draft = Draft(state, store.now(), store.policy)
            status = f"s:{machine.shown(draft, draft.get('')).value}"
            for name in ("i", *(f"i:{n}" for n in (status, *indexes_of(state.run.signature)))):
                yield tag_of(run_id), name, run_id, state.run.created_at * 1000

    def _leases(self) -> Iterator[Entry]:
        for name, times in (("leases", self.reference.leases), ("lost", self.reference.lost)):
            for (bucket, member), time in times.items():
                yield f"{{{NAMESPACE}:{bucket}}}:", name, member, time * 1000


def assert_workers(store: Reference, left: Contents) -> None:
    tag = f"{{{NAMESPACE}:all}}:"
    left.pop(f"{tag}meta")
    alive = {name: (w.seen_at + store.lease) * 1000 for name, w in store.live.items()}
    equal(left.pop(f"{tag}alive", {}), alive, "live workers")
    told = left.pop(f"{tag}workers", {})
    equal({n for n in told if not n.endswith(" seen")}, set(alive), "workers")


def tag_of(run_id: str) -> str:
    return f"{{{NAMESPACE}:{bucket_of(run_id)}}}:"


def run_of(member: str) -> str:
    """Of a key, or of a timer that has one."""
    return split_key(member.rpartition(" ")[2])[0]


def parked_of(members: Mapping[str, float]) -> dict[str, list[str]]:
    """Node with the mark → those that wait there, in order."""
    found: dict[str, list[str]] = {}
    for member in sorted(members):
        at, _, place = member.partition("\n")
        found.setdefault(at, []).append(place.partition(" ")[2])
    return found


def told_of(text: list[str]) -> list[str]:
    """What was published, as the reference says it. What an inbox is told, the run's own channel
    was told just before."""
    said: list[str] = []
    for each in (every.removeprefix(f"{NAMESPACE}:") for every in text):
        if each.startswith("inbox:"):
            told = f"run:{each.partition(' ')[2]}"
            assert said[-1] == told, f"an inbox was told {each}, after {said[-1]}"
        else:
            said.append(each)
    return [*map(json_free, said)]


def json_free(text: str) -> str:
    channel, _, said = text.partition(" ")
    if said.startswith(ENDED):  # and what was written with it
        return f"{channel} {ENDED}"
    if channel != "control":
        return text
    return f"{channel} {json.dumps(json.loads(said), separators=(',', ':'))}"
