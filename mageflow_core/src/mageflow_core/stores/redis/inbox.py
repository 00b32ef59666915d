"""What is told of all runs that this store has started, under one name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.keys import Keys

MOST: Final = 10_000  # runs that are remembered: of the oldest it is forgotten that they are silent
LONGEST: Final = 1_000  # characters of a field that is remembered with its run
NO_FIELDS: Mapping[str, str] = MappingProxyType({})

Tell = Callable[[str], None]


class Start:
    """A run that is about to be started. inbox: the name to say; "" where nobody listens there.
    fresh: set when it was started, and by this very call."""

    __slots__ = ("fresh", "inbox")

    def __init__(self, inbox: str) -> None:
        self.inbox = inbox
        self.fresh = False


class Inbox:
    """Of one store, while that is open; its name is in the records of runs that it has started.

    A run is silent when nothing has been said of it since it was started here: it has not ended
    then, and who waits for it need not look. What is said when nobody waits is not kept, as it may
    be long past by when somebody does.
    """

    def __init__(self, channel: Channel, keys: Keys) -> None:
        self._channel = channel
        self._keys = keys
        self._name = ""
        self._topic = ""
        self._starting: dict[str, Start] = {}
        self._silent: dict[str, Mapping[str, str]] = {}  # in the order in which they were started
        self._waiting: dict[str, dict[object, Tell]] = {}

    def open(self) -> None:
        """Begin to listen, if that was not done; nobody waits until that is so. Raises
        `NotOpen`."""
        if not self._name:
            name = secrets.token_urlsafe(6)
            topic = self._keys.inbox(name)
            self._channel.begin(topic, self._told)
            self._name, self._topic = name, topic

    @property
    def stands(self) -> bool:
        return bool(self._name) and self._channel.stands(self._topic)

    # --- runs that are started --------------------------------------------------------------------
    @contextmanager
    def starting(self, run_id: str, fields: Mapping[str, str] = NO_FIELDS) -> Iterator[Start]:
        """While a run is being started. fields: of it, which cannot change, for who waits."""
        self._silent.pop(run_id, None)  # if it was started before, much may have become of it
        start = Start(self._name if self.stands else "")
        if start.inbox:  # its end may be told before the call is answered
            self._starting[run_id] = start
        try:
            yield start
        finally:
            if self._starting.get(run_id) is start:
                del self._starting[run_id]
                if start.fresh:
                    self._keep(run_id, fields)

    def _keep(self, run_id: str, fields: Mapping[str, str]) -> None:
        self._silent[run_id] = {n: text for n, text in fields.items() if len(text) <= LONGEST}
        if len(self._silent) > MOST:
            del self._silent[next(iter(self._silent))]

    def silent(self, run_id: str) -> Mapping[str, str] | None:
        """Its fields; `None` of a run that may have ended, as far as is known here."""
        fields = self._silent.get(run_id)
        return fields if fields is not None and self.stands else None

    # --- those who wait ---------------------------------------------------------------------------
    def listen(self, run_id: str, tell: Tell) -> Callable[[], None]:
        """Tell what is said of a run that was silent, until the returned function is called; "" is
        that something may have been missed."""
        token = object()
        self._waiting.setdefault(run_id, {})[token] = tell

        def end() -> None:
            tells = self._waiting.get(run_id, {})
            tells.pop(token, None)
            if not tells:
                self._waiting.pop(run_id, None)

        return end

    def _told(self, text: str) -> None:
        if not text:
            self._starting.clear()
            self._silent.clear()
            for run_id in [*self._waiting]:
                self._tell(run_id, "")
            return
        run_id, _, said = text.partition(" ")
        self._starting.pop(run_id, None)
        self._silent.pop(run_id, None)
        self._tell(run_id, said)

    def _tell(self, run_id: str, said: str) -> None:
        for tell in [*self._waiting.get(run_id, {}).values()]:
            tell(said)
