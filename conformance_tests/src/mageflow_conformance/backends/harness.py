"""How the suite gets at a backend and its engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.loader import load_backend
from mageflow_core.loading import BACKENDS, Installed, installed
from mageflow_core.settings import Settings

Fidelity = Literal["real", "emulated"]
SECRET = "open-sesame"  # noqa: S105 - a password that nothing has, and that must not be shown


class Natives(Protocol):
    """An engine's own client with a task on it, as somebody wrote it who knows nothing of MageFlow:
    a function `native_add(a: int, b: int = 1) -> int` that calls `record(a, b)` and gives the sum.
    """

    client: Any  # what `Mageflow(client)` is given
    task: Any  # the native task
    name: str  # the portable name that it is adopted under

    async def call(self, a: int, b: int) -> None:
        """Send it natively, and return when the engine has it."""
        ...

    async def close(self) -> None:
        """Let go of what `call` has opened."""
        ...


@dataclass
class Harness:
    """A backend, and the engine that it is tried on. Subclass it, and name the subclass in the
    entry-point group `mageflow.conformance`; a copy of it is made in each worker process, from the
    fields of the one that the suite has started.

    name: what it is called by, as in `taskiq-rabbitmq`. backend: the name of its entry point.
    fidelity: whether its engine is the real one. lacks: ids of extended requirements that it
    declines although its capabilities do not say so → why. modules: imported once for all worker
    processes, to start them sooner. context: the class of `Context.native` in bodies, as
    `module:name`. redelivery: seconds after which the engine gives a job to others although its
    worker lives and has not acknowledged it, where it does; configure it to be short. serves: the
    setting of the backend that lists the queues of a worker, where workers can choose. forks:
    whether bodies run in child processes of a worker. native_results: the name of the
    native task's parameter that the sum stands under in what it gives, where the engine takes
    mappings only. url: where its engine is.
    """

    name: ClassVar[str]
    backend: ClassVar[str]
    fidelity: ClassVar[Fidelity] = "real"
    lacks: ClassVar[Mapping[str, str]] = {}
    modules: ClassVar[tuple[str, ...]] = ()
    context: ClassVar[str] = "builtins:NoneType"
    redelivery: ClassVar[float | None] = None
    serves: ClassVar[str | None] = None
    forks: ClassVar[bool] = False
    native_results: ClassVar[str | None] = None

    url: str = ""

    # --- the engine -----------------------------------------------------------------------------
    def start(self) -> None:
        """Start the engine on the loopback, and set `url`. Blocks. Raises what is missing."""

    def stop(self) -> None:
        """End what `start` has started."""

    def down(self) -> None:
        """Kill the engine as a power cut would, and leave it so. Blocks. Called only where
        `restarts` is true, as is what follows."""
        raise LookupError(f"{self.name}: the harness cannot restart the engine")

    def up(self) -> None:
        """Start the engine again where it was. Blocks, until it answers."""
        raise LookupError(f"{self.name}: the harness cannot restart the engine")

    def restart(self) -> None:
        """Kill the engine as a power cut would, and start it again where it was. Blocks."""
        self.down()
        self.up()

    @property
    def restarts(self) -> bool:
        """Whether there is an engine that can be restarted."""
        return False

    def versions(self) -> dict[str, str]:
        """Of the engine and its client, by their names."""
        return {}

    # --- apps -----------------------------------------------------------------------------------
    def settings(self, namespace: str) -> dict[str, Any]:  # noqa: ARG002 - for those that need it
        """Arguments of `Mageflow`, beside `backend`, `store` and `namespace`."""
        return {}

    def queues(self, namespace: str, names: Sequence[str]) -> dict[str, Any] | None:
        """Arguments of `Mageflow` with which a worker serves these queues and no others; `None`
        where workers cannot choose."""
        if self.serves is None:
            return None
        said = self.settings(namespace)
        return {**said, self.backend: {**said[self.backend], self.serves: list(names)}}

    def unreachable(self, port: int) -> dict[str, Any] | None:  # noqa: ARG002 - likewise
        """As `settings`, for an engine at this port of 127.0.0.1, where nobody listens, and with
        `SECRET` as its password if it can have one; `None` where there is no engine to reach."""
        return None

    def natives(self, namespace: str, record: Any) -> Natives | None:  # noqa: ARG002 - likewise
        """A client of the engine's, new at each call; `None` where the engine has none. record:
        called by its task's body with the arguments."""
        return None

    def command(self, module: str) -> list[str] | None:  # noqa: ARG002 - likewise
        """The engine's own command that serves what `module` has as `client`; `None` where there
        is no such command."""
        return None

    # --- what is known of it --------------------------------------------------------------------
    @property
    def source(self) -> Installed | None:
        """The distribution that the backend is of."""
        return installed(BACKENDS).get(self.backend)

    def caps(self, namespace: str = "conformance") -> Capabilities:
        """As the running adapter says."""
        settings = Settings.load(
            backend=self.backend, namespace=namespace, **self.settings(namespace)
        )
        made: Any = load_backend(self.backend).from_settings(settings)
        caps: Capabilities = made.caps
        return caps

    def claims(self, claim: str) -> bool:
        """Whether a capability is there, or one of: `restarts`, `redelivery`, `natives`,
        `command`, `queues`, `unreachable`, `forks`."""
        if claim == "restarts":
            return self.restarts
        if claim == "redelivery":
            return self.redelivery is not None
        if claim == "natives":
            return self.natives("conformance", lambda *_: None) is not None
        if claim == "command":
            return self.command("module") is not None
        if claim == "queues":
            return self.queues("conformance", ("other",)) is not None
        if claim == "unreachable":
            return self.unreachable(1) is not None
        if claim == "forks":
            return self.forks
        return bool(getattr(self.caps(), claim))
