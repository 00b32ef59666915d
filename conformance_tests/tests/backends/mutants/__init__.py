"""Small broken backends, each with the requirements that it must fail."""

from mutants import (
    bodies,
    deliveries,
    engines,
    flows,
    keeping,
    leases,
    steering,
    times,
    values,
    watching,
)
from mutants.breaking import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "bodies",
    "deliveries",
    "engines",
    "flows",
    "keeping",
    "leases",
    "steering",
    "times",
    "values",
    "watching",
]
