"""What `mageflow doctor` looks at."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from mageflow import __version__
from mageflow_core.loading import installed, load

State = Literal["ok", "warning", "problem"]
SHOWN: dict[State, str] = {"ok": "ok", "warning": "warning", "problem": "WRONG"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. detail: what was found; where it is not ok, also what to do.
    A problem makes the whole wrong, a warning does not."""

    name: str
    state: State
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.state != "problem"}


def versions() -> Check:
    """The parts have one version."""
    python = f"Python {platform.python_version()} on {platform.system()}"
    try:
        core = version("mageflow-core")
    except PackageNotFoundError:
        core = "not installed, but on the path"
    detail = f"mageflow {__version__}, mageflow-core {core}, {python}"
    if core != __version__:
        return Check("versions", "problem", f"{detail}: install one version of both")
    return Check("versions", "ok", detail)


def plugins(group: str, kind: str) -> Iterator[Check]:
    """What is installed can be imported."""
    for name, source in installed(group).items():
        try:
            load(group, name)
        except Exception as error:  # noqa: BLE001  # whatever an adapter raises at import
            why = (
                f"does not load: {type(error).__name__}: {error}; reinstall or remove {source.dist}"
            )
            yield Check(f"{kind} {name}", "problem", why)
        else:
            yield Check(f"{kind} {name}", "ok", f"{source.dist} {source.version}")
