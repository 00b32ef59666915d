"""`mageflow suspend`, `resume`, `interrupt`, `cancel` and `retry`: each for any number of keys."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from mageflow.cli.output import FAILED, AsJson, print_json, told
from mageflow.cli.shared import Namespace, StoreUrl, located, opened
from mageflow_core.errors import RunNotFound, StoreUnavailable
from mageflow_core.machine import Steer, Verb
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import Store

Keys = Annotated[
    list[str],
    typer.Argument(
        metavar="KEY...", help="Ids of runs, or keys of nodes; - reads them from stdin, one a line."
    ),
]

DONE = {
    Verb.SUSPEND: "suspended",
    Verb.RESUME: "resumed",
    Verb.INTERRUPT: "interrupted",
    Verb.CANCEL: "canceled",
    Verb.RETRY: "runs again",
}


@dataclass(frozen=True, slots=True)
class Steered:
    """What became of one key. why: if nothing did."""

    key: str
    applied: bool
    why: str = ""


def suspend(
    keys: Keys, as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None
) -> None:
    """Let nothing begin there until it is resumed; what runs goes on."""
    steer(Verb.SUSPEND, keys, store, namespace, as_json=as_json)


def resume(
    keys: Keys, as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None
) -> None:
    """Let go on what was suspended or interrupted."""
    steer(Verb.RESUME, keys, store, namespace, as_json=as_json)


def interrupt(
    keys: Keys, as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None
) -> None:
    """Suspend, and stop the bodies that run; they run again when it is resumed."""
    steer(Verb.INTERRUPT, keys, store, namespace, as_json=as_json)


def cancel(
    keys: Keys, as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None
) -> None:
    """End it: nothing begins there any more, and the bodies that run are stopped."""
    steer(Verb.CANCEL, keys, store, namespace, as_json=as_json)


def retry(
    keys: Keys, as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None
) -> None:
    """Run again what failed, was canceled or skipped there, and go on behind it."""
    steer(Verb.RETRY, keys, store, namespace, as_json=as_json)


def steer(
    verb: Verb, keys: Sequence[str], url: str | None, namespace: str | None, *, as_json: bool
) -> None:
    """Do it to each key and say what became of it; ends with 1 if one of them did not apply."""
    with told():
        answers = asyncio.run(_steered(verb, list(meant(keys)), url, namespace))
    if as_json:
        print_json([asdict(answer) for answer in answers])
    else:
        for answer in answers:
            typer.echo(line(verb, answer))
    if not all(answer.applied for answer in answers):
        raise typer.Exit(FAILED)


def meant(keys: Sequence[str]) -> Iterable[str]:
    """Each key once, those on stdin in the place of `-`."""
    found: dict[str, None] = {}
    for key in keys:
        lines = sys.stdin.read().split() if key == "-" else [key]
        found.update(dict.fromkeys(lines))
    return found


def line(verb: Verb, answer: Steered) -> str:
    done = DONE[verb]
    if answer.applied:
        return f"{answer.key} {done}"
    refused = "does not run again" if verb is Verb.RETRY else f"not {done}"
    return f"{answer.key} {refused}: {answer.why}"


async def _steered(
    verb: Verb, keys: Sequence[str], url: str | None, namespace: str | None
) -> list[Steered]:
    """One after the other; a store that does not answer one is not asked for the rest."""
    answers: list[Steered] = []
    async with opened(url, namespace) as store:
        for number, key in enumerate(keys):
            try:
                answers.append(await _one(store, verb, key))
            except StoreUnavailable as error:
                answers.append(Steered(key, applied=False, why=f"unknown: {error}"))
                rest = keys[number + 1 :]
                answers += [Steered(each, applied=False, why="not tried") for each in rest]
                break
    return answers


async def _one(store: Store, verb: Verb, key: str) -> Steered:
    try:
        run_id, path = split_key(await located(store, key))
        answer = await store.steer(run_id, Steer(path, verb, secrets.token_hex(16)))
    except RunNotFound as error:
        return Steered(key, applied=False, why=str(error))
    return Steered(key, answer.applied, answer.why)
