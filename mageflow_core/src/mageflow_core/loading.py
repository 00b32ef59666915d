"""What is installed under an entry-point group, and loading it by its name."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, NoReturn

from mageflow_core.errors import ConfigurationError, UnknownBackend, UnknownStore
from mageflow_core.urls import safe_url

BACKENDS = "mageflow.backends"
STORES = "mageflow.stores"

ERRORS: dict[str, tuple[str, type[ConfigurationError]]] = {
    BACKENDS: ("backend", UnknownBackend),
    STORES: ("store", UnknownStore),
}
# What the project itself has to offer, each as a distribution of its own.
OFFERED = {BACKENDS: ("celery", "hatchet", "taskiq", "temporal"), STORES: ()}


@dataclass(frozen=True, slots=True)
class Installed:
    """value: where the class is, as `module:name`."""

    dist: str
    version: str
    value: str

    def __str__(self) -> str:
        return f"{self.dist} {self.version} ({self.value})"


def load(group: str, name: str) -> type[Any]:
    """The class that is installed under this name in `BACKENDS` or `STORES`; not instantiated.

    Imports the adapter's module, and raises what that raises: a dependency that an installed
    adapter lacks is never taken for an adapter that is not installed. Raises `UnknownBackend` or
    `UnknownStore` where nothing has the name, `ConfigurationError` where two distributions have
    it or where it does not lead to a class.
    """
    from stevedore.named import NamedExtensionManager  # noqa: PLC0415  # clients may never come here

    # Not a DriverManager: that one's `driver` may be an instance, and it logs each miss.
    manager: NamedExtensionManager[Any] = NamedExtensionManager(
        group,
        [name],
        on_load_failure_callback=_fail,
        on_missing_entrypoints_callback=lambda _: None,
    )
    plugins = [extension.plugin for extension in manager.extensions]
    # None or several: stevedore's caches, on disk and in the process, may be older than what is
    # installed, and do not know the distributions.
    found: Any = plugins[0] if len(plugins) == 1 else _only(group, name).load()
    if not isinstance(found, type):
        raise ConfigurationError(
            f"{ERRORS[group][0]} {name!r} is {type(found).__name__}, not a class, in "
            f"{installed(group)[name]}: its entry point has to name a class"
        )
    return found


def installed(group: str) -> dict[str, Installed]:
    """What is installed by name, in the order of names; imports none of it.

    Where two distributions have one name, the first one on the path is given; `load` refuses both.
    """
    found: dict[str, Installed] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        found.setdefault(entry.name, _source(entry))
    return found


def _fail(manager: object, entry: EntryPoint, error: BaseException) -> NoReturn:  # noqa: ARG001
    raise error


def _only(group: str, name: str) -> EntryPoint:
    """The entry point of this name, past all caches."""
    # The same class from two distributions is no conflict: one of them may be a renamed other.
    claims = {entry.value: entry for entry in entry_points(group=group, name=name)}
    if not claims:
        raise _unknown(group, name)
    if len(claims) > 1:
        sources = " and ".join(sorted(str(_source(entry)) for entry in claims.values()))
        raise ConfigurationError(
            f"the {ERRORS[group][0]} name {name!r} is claimed by {sources}: uninstall all but one"
        )
    return claims.popitem()[1]


def _unknown(group: str, name: str) -> ConfigurationError:
    kind, error = ERRORS[group]
    there = list(installed(group))
    message = f"no {kind} {safe_url(name)!r} is installed; installed: {', '.join(there) or 'none'}"
    offered = OFFERED[group]
    close = get_close_matches(name.lower(), [*there, *offered], 1)
    meant = close[0] if close else None
    if meant is not None and meant != name:
        message += f"; did you mean {meant!r}?"
    if meant in offered and meant not in there:
        message += f"; to install it: {_command(meant)}"
    elif not there:
        message += "; mageflow-core itself is not installed, but only on the path"
    return error(message)


def _command(backend: str) -> str:
    # All of the project's distributions have one version; without it, pip may take another's.
    try:
        wanted = f"mageflow-{backend}=={version('mageflow-core')}"
    except PackageNotFoundError:
        wanted = f"./adapters/{backend}"
    return f"pip install {wanted}"


def _source(entry: EntryPoint) -> Installed:
    dist = entry.dist
    if dist is None:  # the types allow for it; entry_points() always says
        return Installed("unknown", "?", entry.value)
    return Installed(dist.name, dist.version, entry.value)
