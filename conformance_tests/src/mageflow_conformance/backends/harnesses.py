"""Harnesses by name, and the one of the backend that the core brings along."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points

from mageflow_conformance.backends.harness import Harness
from mageflow_core.errors import ConfigurationError

GROUP = "mageflow.conformance"


class AsyncioHarness(Harness):
    """The reference: there is no engine, and the store passes jobs on between processes."""

    name = "asyncio"
    backend = "asyncio"


def harness_names() -> dict[str, str]:
    """What is installed: name → where the class is."""
    return {each.name: each.value for each in sorted(entry_points(group=GROUP))}


def harness_named(name: str, place: str | None = None) -> Harness:
    """The harness of this name; place: its class as `module:name`, where no entry point has it.
    Raises `ConfigurationError`."""
    found = place or harness_names().get(name)
    if found is None:
        known = harness_names()
        close = get_close_matches(name, known, 1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigurationError(
            f"no harness {name!r} is installed in {GROUP}; there are: {', '.join(known)}{meant}"
        )
    module, _, attribute = found.partition(":")
    try:
        made: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"harness {found} cannot be had: {error}") from error
    if not (isinstance(made, type) and issubclass(made, Harness)):
        raise ConfigurationError(f"harness {found} is no subclass of Harness")
    return made()
