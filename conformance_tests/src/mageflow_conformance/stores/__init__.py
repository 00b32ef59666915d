"""The requirements of the `Store` protocol, and what runs them.

`run(requirement, harness)` gives the `Outcome` of one of `requirements()`; for pytest, parametrize
a test over them. A `StoreHarness` says how the suite gets at a store.
"""

from mageflow_conformance.stores.bench import Bench, Handle
from mageflow_conformance.stores.flow import Body, Flow
from mageflow_conformance.stores.harness import StoreHarness, Times
from mageflow_conformance.stores.harnesses import MemoryHarness, RedisHarness, harness_of
from mageflow_conformance.stores.manifest import SPEC, requirement_of, requirements
from mageflow_conformance.stores.requirement import Instead, Requirement
from mageflow_conformance.stores.running import Outcome, run, run_all

__all__ = [
    "SPEC",
    "Bench",
    "Body",
    "Flow",
    "Handle",
    "Instead",
    "MemoryHarness",
    "Outcome",
    "RedisHarness",
    "Requirement",
    "StoreHarness",
    "Times",
    "harness_of",
    "requirement_of",
    "requirements",
    "run",
    "run_all",
]
