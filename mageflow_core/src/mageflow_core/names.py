"""Names and keys: what they look like, and how they nest."""

from __future__ import annotations

import re
from typing import Literal

from mageflow_core.errors import InvalidName

Role = Literal["root", "child", "callback", "continuation"]

TASK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
LONGEST = 128  # characters of it
NODE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def check_name(name: str, what: str = "task") -> str:
    """The name itself, or `InvalidName`."""
    if not TASK_NAME.fullmatch(name):
        raise InvalidName(
            f"{what} name {name!r} is outside ^[a-z0-9][a-z0-9._-]{{0,127}}$: use lower-case "
            "letters, digits, '.', '_' and '-', and begin with a letter or digit"
        )
    return name


def portable(native: str) -> str:
    """What an engine's own name of a task is here: `shop.tasks:Send_Mail` is
    `shop.tasks.send_mail`. Empty where nothing of it is left."""
    return re.sub(r"[^a-z0-9._-]", ".", native.lower()).lstrip("._-")[:LONGEST]


def default_name(function_name: str) -> str:
    """The portable name of a function: `_LoadPage` becomes `loadpage`."""
    return function_name.strip("_").lower()


# --- paths -----------------------------------------------------------------------------------
# A node's path within its run: "" is the root, "/3" its fourth child, "/3/fetch" a node of a
# graph there, "/3~2" its second continuation, "/3/!error-0" its first error callback.


def child_path(parent: str, position: int | str) -> str:
    return f"{parent}/{position}"


def continuation_path(path: str, number: int) -> str:
    return f"{path}~{number}"


def callback_path(owner: str, event: str, number: int, generation: int) -> str:
    """A callback is due once a generation, so each generation has callbacks of its own."""
    again = f"@{generation}" if generation > 1 else ""
    return f"{owner}/!{event}-{number}{again}"


def key_of(run_id: str, path: str) -> str:
    return run_id + path


def split_key(key: str) -> tuple[str, str]:
    """Run id and path of a key."""
    cut = key.find("/")
    tilde = key.find("~", 0, cut if cut >= 0 else None)
    if tilde >= 0:
        cut = tilde
    return (key[:cut], key[cut:]) if cut >= 0 else (key, "")


def is_below(path: str, top: str, *, callbacks: bool = True) -> bool:
    """Whether `path` is `top` or below it; without `callbacks`, not by way of a callback."""
    if not path.startswith(top):
        return False
    rest = path[len(top) :]
    return rest == "" or (rest[0] in "/~" and (callbacks or "/!" not in rest))


def parent_of(path: str) -> str | None:
    """The path above, `None` for the root's."""
    cut = max(path.rfind("/"), path.rfind("~"))
    return path[:cut] if cut >= 0 else None


def role_of(path: str) -> Role:
    cut = max(path.rfind("/"), path.rfind("~"))
    if cut < 0:
        return "root"
    if path[cut] == "~":
        return "continuation"
    return "callback" if path.startswith("!", cut + 1) else "child"


def depth_of(path: str) -> int:
    """The root's is 1."""
    return 1 + path.count("/") + path.count("~")
