"""What gets lost on the way, and what is not let through."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence


class Names:
    """What calls of the Redis store are called, with short times too."""

    def __init__(self) -> None:
        self._by_digest = step_names()

    def of(self, words: list[str]) -> Sequence[str]:
        """Of the steps that this asks for: none where it is another command."""
        from mageflow_core.stores.redis.several import steps_of  # noqa: PLC0415  # where it is in use

        if words[0] != "EVALSHA":
            return ()
        name = self._by_digest.get(words[1], words[1])
        return [*steps_of(words)] if name == "several" else [name]


def step_names() -> Mapping[str, str]:
    """The names of the Redis store's steps, by the digests that they are called by, of those with
    short times too."""
    from mageflow_conformance.flows.hastening import hastened_steps  # noqa: PLC0415
    from mageflow_core.stores.redis.steps import PARTS, Steps  # noqa: PLC0415  # where it is in use

    return {steps[name].sha: name for steps in (Steps(), hastened_steps()) for name in PARTS}


class LostReply:
    """The reply to the n-th call of a step gets lost, once."""

    def __init__(self, step: str, nth: int = 1) -> None:
        self.happened = asyncio.Event()
        self.seen = 0
        self._step = step
        self._nth = nth
        self._names = Names()

    def refuses(self, words: list[str]) -> bool:  # noqa: ARG002 - nothing is
        return False

    def loses(self, words: list[str]) -> bool:
        before, self.seen = self.seen, self.seen + self._names.of(words).count(self._step)
        return before < self._nth <= self.seen

    def lost(self, words: list[str]) -> None:  # noqa: ARG002 - it is the one that is meant
        self.happened.set()


class Away:
    """The server is not there for calls of a step: as many as come until `back` is called."""

    def __init__(self, step: str) -> None:
        self.happened = asyncio.Event()
        self._step: str | None = step
        self._names = Names()

    def back(self) -> None:
        self._step = None

    def refuses(self, words: list[str]) -> bool:
        refused = self._step in self._names.of(words)
        if refused:
            self.happened.set()
        return refused

    def loses(self, words: list[str]) -> bool:  # noqa: ARG002 - they do not get there
        return False

    def lost(self, words: list[str]) -> None:
        """Never called."""


class Counting:
    """Nothing is lost. steps: how often each step was called, by its name."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self._names = Names()

    def refuses(self, words: list[str]) -> bool:
        self.steps.update(self._names.of(words))
        return False

    def loses(self, words: list[str]) -> bool:  # noqa: ARG002 - nothing is
        return False

    def lost(self, words: list[str]) -> None:
        """Never called."""


class CutOff:
    """Nobody may listen to what is published. refused: how often somebody wanted to."""

    def __init__(self) -> None:
        self.refused = 0

    def refuses(self, words: list[str]) -> bool:
        refused = words[0].upper() == "SUBSCRIBE"
        self.refused += refused
        return refused

    def loses(self, words: list[str]) -> bool:  # noqa: ARG002 - only listening is cut off
        return False

    def lost(self, words: list[str]) -> None:
        """Never called."""
