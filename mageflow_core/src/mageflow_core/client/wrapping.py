"""Which installed backend an engine's client is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mageflow_core.backends.loader import load_backend
from mageflow_core.backends.protocol import TaskManager
from mageflow_core.errors import ConfigurationError
from mageflow_core.loading import BACKENDS, OFFERED, installed

if TYPE_CHECKING:
    from mageflow_core.settings import Settings


def wrapped(native: Any, settings: Settings) -> TaskManager:
    """The backend around this client. Raises `ConfigurationError` where none knows it."""
    broken: list[str] = []
    for name, source in installed(BACKENDS).items():
        try:
            kind = load_backend(name)
        except Exception as error:  # noqa: BLE001 - one that does not load may not be meant
            broken.append(f"{name} of {source.dist} does not load: {type(error).__name__}: {error}")
            continue
        made = kind.wrap(native, settings)
        if made is not None:
            return made
    raise ConfigurationError(_unknown(native, broken))


def _unknown(native: Any, broken: list[str]) -> str:
    kind = type(native)
    there = ", ".join(installed(BACKENDS))
    text = (
        f"{kind.__module__}.{kind.__qualname__} is no client that an installed backend works "
        f"with; installed: {there}"
    )
    engine = kind.__module__.partition(".")[0].partition("_")[0]
    if engine in OFFERED[BACKENDS]:
        text += f"; pip install 'mageflow[{engine}]' brings the one that does"
    return "; ".join([text, *broken])
