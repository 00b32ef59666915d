"""Run by the nox session ``core_alone`` where only mageflow-core is installed."""

import importlib
import pkgutil
import sys
from pathlib import Path

import mageflow_core

ENGINES = {"celery", "hatchet_sdk", "redis", "sqlalchemy", "taskiq", "temporalio"}
FACE = {"mageflow", "rich", "typer"}


def foreign() -> set[str]:
    tops = {name.partition(".")[0] for name in sys.modules}
    adapters = {name for name in tops if name.startswith("mageflow_")} - {"mageflow_core"}
    return tops & (ENGINES | FACE) | adapters


# Uninstalled it would be an empty namespace package, without a file.
assert mageflow_core.__file__, "mageflow_core is not installed"
assert Path(mageflow_core.__file__).is_relative_to(sys.prefix), mageflow_core.__file__
assert not foreign(), f"import mageflow_core imports {sorted(foreign())}"

count = 0
for module in pkgutil.walk_packages(mageflow_core.__path__, "mageflow_core."):
    importlib.import_module(module.name)
    count += 1
assert not foreign(), f"a module of mageflow_core imports {sorted(foreign())}"

print(f"mageflow_core and its {count} modules import alone")
