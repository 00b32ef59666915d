"""Small broken backends, each with the requirements that it must fail."""

from mutants import (
    bodies,
    deliveries,
    engines,
    flows,
    keeping,
    leases,
    mended,
    steering,
    times,
    values,
    watching,
)
from mutants.breaking import MENDED, MUTANTS, Mutant

__all__ = [
    "MENDED",
    "MUTANTS",
    "Mutant",
    "bodies",
    "deliveries",
    "engines",
    "flows",
    "keeping",
    "leases",
    "mended",
    "steering",
    "times",
    "values",
    "watching",
]
