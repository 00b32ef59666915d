"""The backends of an app, the default one first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mageflow_core.backends.loader import load_backend
from mageflow_core.backends.protocol import TaskManager, TaskSpec
from mageflow_core.client.hosting import Hosting
from mageflow_core.client.wrapping import wrapped
from mageflow_core.errors import ConfigurationError, SettingsError, UnknownBackend
from mageflow_core.signatures.options import NAMES

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow


class Backends:
    """natives: clients of engines that the app is put around. Where the settings do not name all
    of their backends, theirs are the app's, in the order of the clients."""

    def __init__(self, app: Mageflow, natives: Sequence[Any]) -> None:
        self._app = app
        self._kept: dict[str, TaskManager] = {}  # those that last as long as the app
        self.clients = tuple(natives)
        for native in natives:
            backend = wrapped(native, app.settings)
            if backend.name in self._kept:
                raise ConfigurationError(
                    f"two clients of {backend.name} were given: one app has one of each backend"
                )
            self._keep(backend)
        if not self._kept.keys() <= set(app.settings.backends):
            names = ",".join(self._kept)
            app.settings = app.settings.model_copy(update={"backend": names})
        for task, name in app.settings.moved_tasks.items():
            if name not in self.names:
                raise SettingsError(
                    f"moved_tasks has {task} on {name!r}, which this app has not: it has "
                    f"{', '.join(self.names)}; name it in `backend`, too"
                )

    @property
    def names(self) -> tuple[str, ...]:
        return self._app.settings.backends

    def one(self, name: str) -> TaskManager:
        """The one that was wrapped or asked for, else one for the next opening."""
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        made: TaskManager = load_backend(name).from_settings(self._app.settings)
        return made

    def of_own_processes(self) -> dict[str, TaskManager]:
        """Those whose engines run bodies in processes of their own; they last as long as the app
        from now on, as they are to be the same there."""
        found = {}
        for name in self.names:
            backend = self.one(name)
            if backend.caps.own_processes:
                if name not in self._kept:
                    self._keep(backend)
                found[name] = self._app.make_backend(name)
        return found

    def native(self, name: str | None) -> Any:
        """The client of an engine. Its backend lasts as long as the app from now on."""
        name = name or self.names[0]
        if name not in self.names:
            raise UnknownBackend(
                f"this app has no backend {name!r}: it has {', '.join(self.names)}"
            )
        if name not in self._kept:
            self._keep(self._app.make_backend(name))
        return self._kept[name].native

    def _keep(self, backend: TaskManager) -> None:
        self._kept[backend.name] = backend
        backend.host(Hosting(self._app, backend.name))

    # --- native tasks ---------------------------------------------------------------------------
    def natives(self) -> Iterator[tuple[TaskSpec, str | None]]:
        """All there are by now, and where they run, if that is not where all tasks do."""
        for name, backend in self._kept.items():
            for spec in backend.natives():
                yield spec, self._place(name)

    def adopt(self, native: Any) -> tuple[TaskSpec, str | None] | None:
        for name, backend in self._kept.items():
            spec = backend.adopt(native)
            if spec is not None:
                return spec, self._place(name)
        return None

    def decorator(self, name: str | None, options: Mapping[str, Any]) -> Any:
        """What makes a native task, where not all of these options are MageFlow's, of the client
        that knows them; else `None`."""
        for backend in self._kept.values() if options.keys() - NAMES else ():
            decorate = backend.decorator({"name": name, **options})
            if decorate is not None:
                return decorate
        return None

    def _place(self, name: str) -> str | None:
        return None if name == self.names[0] else name


class StandIn:
    """An app has what only a client has that it was put around, and can stand in for it. To type
    checkers that is `native.…`, which knows its own type."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            backends = vars(self).get("backends")
            for client in backends.clients if backends is not None else ():
                if not name.startswith("_") and hasattr(client, name):
                    return getattr(client, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
