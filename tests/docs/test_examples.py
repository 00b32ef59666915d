"""What the documentation shows runs as it is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.servers import RedisServer

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*ROOT.glob("docs/**/*.py"), *ROOT.glob("examples/**/*.py")])
BESIDE_A_WORKER = [
    ROOT / "docs" / "examples" / "redis" / name for name in ("web.py", "elsewhere.py")
]
ON_ENGINES = [  # see test_taskiq.py, test_celery.py and test_hatchet.py
    *ROOT.glob("docs/examples/taskiq/*.py"),
    *ROOT.glob("docs/examples/hatchet/*.py"),
    *ROOT.glob("examples/celery/**/*.py"),
]
ALONE = [path for path in EXAMPLES if path not in [*BESIDE_A_WORKER, *ON_ENGINES]]
ON_ANY_STORE = [path for path in ALONE if "async with mf" in path.read_text("utf-8")]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_examples() -> None:
    assert ON_ANY_STORE
    assert set(BESIDE_A_WORKER) < set(EXAMPLES)


@pytest.mark.parametrize("example", ALONE, ids=named)
def test_an_example_runs(example: Path, script: Callable[..., Any]) -> None:
    if example.name.startswith("test_"):
        script("-m", "pytest", "-o", f"pythonpath={example.parent}", example)
    else:
        script(example)


@pytest.mark.parametrize("example", ON_ANY_STORE, ids=named)
def test_an_example_runs_on_redis_by_one_setting(
    example: Path,
    script: Callable[..., Any],
    server: RedisServer,
    on_redis: dict[str, str],
    namespace: str,
) -> None:
    script(example, **on_redis)

    # It was there that its state was kept.
    assert server.call("EXISTS", f"{{{namespace}:all}}:meta") == 1


@pytest.mark.parametrize("example", BESIDE_A_WORKER, ids=named)
def test_an_example_runs_beside_a_worker(
    example: Path,
    script: Callable[..., Any],
    start_worker: Callable[..., None],
    on_redis: dict[str, str],
) -> None:
    start_worker(**on_redis)

    script(example, **on_redis, MAGEFLOW_WORKER="false")
