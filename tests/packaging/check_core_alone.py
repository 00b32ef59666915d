"""Run by the nox session ``core_alone`` where only mageflow-core is installed."""

import importlib
import sys
from pathlib import Path

import mageflow_core

ENGINES = {"celery", "hatchet_sdk", "redis", "sqlalchemy", "taskiq", "temporalio"}
FACE = {"mageflow", "rich", "typer"}
STORES = {"mageflow_core.stores.redis": {"redis"}}  # where a store's driver may be imported


def foreign() -> set[str]:
    tops = {name.partition(".")[0] for name in sys.modules}
    adapters = {name for name in tops if name.startswith("mageflow_")} - {"mageflow_core"}
    return tops & (ENGINES | FACE) | adapters


def modules() -> list[str]:
    """Name all modules of the core; walking through its packages would import them."""
    assert mageflow_core.__file__
    folder = Path(mageflow_core.__file__).parent
    parts = [path.relative_to(folder.parent).with_suffix("").parts for path in folder.rglob("*.py")]
    return sorted(".".join(part for part in each if part != "__init__") for each in parts)


# Uninstalled it would be an empty namespace package, without a file.
assert mageflow_core.__file__, "mageflow_core is not installed"
assert Path(mageflow_core.__file__).is_relative_to(sys.prefix), mageflow_core.__file__
assert not foreign(), f"import mageflow_core imports {sorted(foreign())}"

with_drivers = [name for name in modules() if name.startswith(tuple(STORES))]
others = sorted(set(modules()) - set(with_drivers))
for name in others:
    importlib.import_module(name)
assert not foreign(), f"a module of mageflow_core imports {sorted(foreign())}"
for name in with_drivers:
    importlib.import_module(name)
drivers = set().union(*STORES.values())
assert foreign() == drivers, f"a store imports {sorted(foreign())}, not {sorted(drivers)}"

print(f"mageflow_core and {len(others)} modules import alone, {len(with_drivers)} with {drivers}")
