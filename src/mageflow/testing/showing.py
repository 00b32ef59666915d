"""Runs, attempts and trees as text, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mageflow.testing.matching import bound
from mageflow.testing.records import Attempt, Dispatch
from mageflow_core import GraphSignature, Signature, TaskSignature, Tree

WIDTH = 200  # characters of one value
MANY = 20  # lines of one list


def signature_text(signature: Signature[Any]) -> str:
    """As one would write it: `chain(fetch(url='…'), count)`."""
    arguments = [f"{name}={_short(value)}" for name, value in bound(signature).items()]
    if isinstance(signature, TaskSignature):
        return f"{signature.task}({', '.join(arguments)})" if arguments else signature.task
    if isinstance(signature, GraphSignature):
        parts = [f"{name}={signature_text(node)}" for name, node in signature.nodes.items()]
    else:
        parts = [signature_text(child) for child in signature.children]
    if len(parts) > MANY:
        parts = [*parts[:MANY], f"… {len(parts) - MANY} more"]
    return f"{signature.kind}({', '.join([*parts, *arguments])})"


def dispatch_text(dispatch: Dispatch) -> str:
    text = f"{signature_text(dispatch.signature)} with message {_short(dispatch.message)}"
    if dispatch.labels:
        text += f", labels {dict(dispatch.labels)}"
    return text + (f", started by {dispatch.by}" if dispatch.by else "")


def attempt_text(attempt: Attempt) -> str:
    given = attempt.input
    arguments = "…" if given is None else ", ".join(f"{k}={_short(v)}" for k, v in given.items())
    text = f"{attempt.task}({arguments}) attempt {attempt.attempt}: {attempt.outcome}"
    if attempt.outcome == "done":
        return f"{text} with {_short(attempt.result)}"
    return f"{text} with {attempt.error.type}: {attempt.error.message}" if attempt.error else text


def list_text(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{title}: nothing"
    shown = [f"  {number}. {line}" for number, line in enumerate(lines[:MANY], 1)]
    if len(lines) > MANY:
        shown.append(f"  … and {len(lines) - MANY} more")
    return "\n".join([f"{title} ({len(lines)}):", *shown])


def tree_text(tree: Tree, indent: int = 0) -> str:
    """A run's nodes, one a line, with what holds or has ended each."""
    node = tree.node
    what = node.task or node.kind
    text = f"{'  ' * indent}{node.key[node.key.rfind('/') :] if indent else node.key} {what}: "
    text += node.status.value
    if node.attempt > 1:
        text += f", attempt {node.attempt}"
    if node.error is not None:
        text += f" ({node.error.type}: {node.error.message})"
    lines = [text, *(tree_text(child, indent + 1) for child in tree.children)]
    if tree.more:
        lines.append(f"{'  ' * (indent + 1)}… {tree.more} more")
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
