"""How the suite gets at a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mageflow_conformance.stores.requirement import Ability
from mageflow_core.loading import STORES, installed
from mageflow_core.stores.loader import load_store
from mageflow_core.stores.protocol import Store, StoreOptions
from mageflow_core.urls import safe_url, scheme_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that are no settings: from when a job that nobody has confirmed, or that waits in a
    backend, is sent again; how long a reservation holds."""

    unconfirmed_after: float = 10.0
    resend_after: float = 60.0
    reservation: float = 60.0


class StoreHarness:
    """A store by its URL, and what else can be done with it. Subclass it for your own store, and
    name the subclass as `--harness module:name`; it is made with the URL.

    lasting: what was answered is there after the server was killed and started again.
    abilities: which of these can be done; requirements that need others are not run:
        "size": tell how much is stored, by `size`;
        "restart": stop and start the server, by `stop_server` and `start_server`;
        "hasten": what takes `times` is over in a few seconds, as these are short, or as the store
        goes by the clock in its options and by no other ("time").
    """

    lasting: bool = False
    abilities: frozenset[Ability] = frozenset()
    times: ClassVar[Times] = Times()

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def name(self) -> str:
        return scheme_of(self.url)

    @property
    def shown_url(self) -> str:
        """Without what may be a password."""
        return safe_url(self.url)

    @property
    def version(self) -> str:
        """Of the distribution that the store comes from."""
        source = installed(STORES).get(self.name)
        return f"{source.dist} {source.version}" if source is not None else "not installed"

    @property
    def shared(self) -> bool:
        """Whether two handles of one URL and namespace see the same runs."""
        return load_store(self.url).shared

    @property
    def durable(self) -> str:
        return load_store(self.url).durable

    def make(self, options: StoreOptions, *, hastened: bool) -> Store:  # noqa: ARG002
        """A handle, not opened; of a shared store any number of them. hastened: it goes by `times`,
        which only matters to harnesses with that ability."""
        return load_store(self.url).from_url(self.url, options=options)

    async def clean(self, namespace: str) -> None:
        """Remove what a requirement has left in this namespace. By default nothing is removed:
        give the suite a database of its own."""

    # --- abilities ------------------------------------------------------------------------------
    async def size(self, store: Store, namespace: str) -> int:  # noqa: ARG002
        """How many records or keys there are of runs of this namespace."""
        raise LookupError(f"{self.name}: the harness cannot tell the size of the store")

    async def stop_server(self) -> None:
        """Kill the server, as a power cut would."""
        raise LookupError(f"{self.name}: the harness cannot stop the server")

    async def start_server(self) -> None:
        """Start it again, where it was; returns when it answers."""
        raise LookupError(f"{self.name}: the harness cannot start the server")
