"""How a backend did: as data, and in words."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from mageflow_conformance.backends.harness import Harness
from mageflow_conformance.backends.manifest import SPEC, requirements
from mageflow_conformance.backends.running import Outcome


@dataclass(frozen=True, slots=True)
class Report:
    harness: Harness
    outcomes: Sequence[Outcome]
    store: str  # what the runs were in

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(outcome.state for outcome in self.outcomes))

    @property
    def complete(self) -> bool:
        """Whether every requirement has an outcome here."""
        return {outcome.id for outcome in self.outcomes} == {each.id for each in requirements()}

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.state == "failed"]

    @property
    def met(self) -> bool:
        """Every requirement has passed, or what holds in its place has."""
        return self.complete and all(o.state in ("passed", "declined") for o in self.outcomes)

    @property
    def conformant(self) -> bool:
        """All are met, on a real engine."""
        return self.met and self.harness.fidelity == "real"

    def data(self) -> dict[str, Any]:
        """For JSON. Keys stay, and new ones may be added."""
        harness = self.harness
        source = harness.source
        return {
            "spec": SPEC,
            "suite": version("mageflow-conformance"),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "name": harness.name,
            "adapter": {
                "backend": harness.backend,
                "distribution": source.dist if source else None,
                "version": source.version if source else None,
                "capabilities": asdict(harness.caps()),
            },
            "engine": {"fidelity": harness.fidelity, "versions": harness.versions()},
            "store": self.store,
            "complete": self.complete,
            "conformant": self.conformant,
            "counts": self.counts,
            "requirements": [asdict(outcome) for outcome in self.outcomes],
        }

    def words(self) -> str:
        """The end of what is printed."""
        said = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"{self.harness.name}: {said}. {self.verdict}."

    @property
    def verdict(self) -> str:
        if self.conformant:
            return "conformant"
        if self.met:
            return "all met on an emulated engine"
        if self.failed:
            return "not conformant"
        return "not known to be conformant: not all requirements were run"
