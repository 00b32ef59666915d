"""How a store did: as data, and in words."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from mageflow_conformance.stores.harness import StoreHarness
from mageflow_conformance.stores.manifest import SPEC, requirements
from mageflow_conformance.stores.running import Outcome


@dataclass(frozen=True, slots=True)
class Report:
    harness: StoreHarness
    outcomes: Sequence[Outcome]

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
    def not_run(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.state == "not run"]

    @property
    def conformant(self) -> bool:
        """Nothing has failed, and all core requirements have passed."""
        core = all(outcome.level != "core" for outcome in self.not_run)
        return self.complete and not self.failed and core

    def data(self) -> dict[str, Any]:
        """For JSON. Keys stay, and new ones may be added."""
        harness = self.harness
        return {
            "spec": SPEC,
            "suite": version("mageflow-conformance"),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "store": {
                "name": harness.name,
                "version": harness.version,
                "url": harness.shown_url,
                "shared": harness.shared,
                "lasting": harness.lasting,
                "durable": harness.durable,
            },
            "complete": self.complete,
            "conformant": self.conformant,
            "counts": self.counts,
            "requirements": [asdict(outcome) for outcome in self.outcomes],
        }

    def words(self) -> str:
        """The end of what is printed."""
        said = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        if self.conformant:
            verdict = "conformant"
        elif self.failed:
            verdict = "not conformant"
        else:
            verdict = "not known to be conformant: not all core requirements were run"
        return f"{self.harness.name} ({self.harness.version}): {said}. {verdict}."
