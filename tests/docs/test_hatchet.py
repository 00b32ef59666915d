"""What moves to Hatchet by settings alone runs there: on its emulated engine, and on the real one
where its programs are."""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.servers import HatchetServer, RedisServer
from mageflow_hatchet.stub.record import Record
from mageflow_hatchet.stub.server import HatchetStub

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what the SDK is made of
    from hatchet_sdk import ClientConfig, Hatchet
    from hatchet_sdk.config import ClientTLSConfig

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MOVED = [
    path for path in sorted(EXAMPLES.glob("*.py")) if "async with mf" in path.read_text("utf-8")
]
Engine = HatchetStub | HatchetServer
ENGINES = {"emulated": HatchetStub, "real": HatchetServer}
FOUND = list(ENGINES) if shutil.which(HatchetServer.program) else ["emulated"]


@pytest.fixture(scope="session", params=FOUND)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with ENGINES[request.param]() as server:
        yield server


@pytest.fixture
def on_hatchet(on_redis: dict[str, str], engine: Engine) -> dict[str, str]:
    """The settings, with a namespace of this test's."""
    return {
        **on_redis,
        "MAGEFLOW_BACKEND": "hatchet",
        "MAGEFLOW_HATCHET_TOKEN": engine.token,
        "MAGEFLOW_HATCHET_HOST_PORT": engine.address,
        "MAGEFLOW_HATCHET_SERVER_URL": engine.url,
        "MAGEFLOW_HATCHET_TLS": "none",
    }


def jobs(engine: Engine, namespace: str) -> int:
    marks = {"mf-ns": namespace}
    if isinstance(engine, HatchetStub):
        with closing(Record(str(engine.folder / "runs.db"))) as record:
            return len(record.runs_with(marks))
    config = ClientConfig(
        token=engine.token,
        host_port=engine.address,
        server_url=engine.url,
        tls_config=ClientTLSConfig(strategy="none"),
    )
    return len(Hatchet(config=config).runs.list(additional_metadata=marks).rows)


@pytest.mark.parametrize("example", ["web.py", "elsewhere.py"])
def test_an_example_moves_by_settings_alone(
    example: str,
    script: Callable[..., Any],
    start_worker: Callable[..., None],
    on_hatchet: dict[str, str],
    engine: Engine,
) -> None:
    start_worker(**on_hatchet)
    script(EXAMPLES / "redis" / example, **on_hatchet, MAGEFLOW_WORKER="false")
    # It was there that its jobs went
    assert jobs(engine, on_hatchet["MAGEFLOW_NAMESPACE"])


@pytest.mark.parametrize("example", MOVED, ids=lambda path: path.name)
def test_an_example_for_one_process_moves_beside_a_worker(
    example: Path,
    script: Callable[..., Any],
    start_worker: Callable[..., None],
    on_hatchet: dict[str, str],
) -> None:
    start_worker(example, **on_hatchet)
    script(example, **on_hatchet)


def test_the_demo_moves_by_settings_alone(
    script: Callable[..., Any],
    on_hatchet: dict[str, str],
    server: RedisServer,
    engine: Engine,
    tmp_path: Path,
) -> None:
    (tmp_path / "one.py").write_text("def f():\n    return 1\n", "utf-8")
    namespace = on_hatchet["MAGEFLOW_NAMESPACE"]
    where = ["--backend", "hatchet", "--store", server.url, "--namespace", namespace]
    said = script("-m", "mageflow", "demo", tmp_path, *where, **on_hatchet)
    assert "tasks ran in" in said.stdout
    # It was there that its jobs went
    assert jobs(engine, namespace)


def test_an_existing_project_runs_flows_under_the_program_that_it_has(
    namespace: str, server: RedisServer, engine: Engine, tmp_path: Path
) -> None:
    own = {name: value for name, value in os.environ.items() if name[:9] != "MAGEFLOW_"}
    variables = {
        **own,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HATCHET_CLIENT_TOKEN": engine.token,
        "HATCHET_CLIENT_HOST_PORT": engine.address,
        "HATCHET_CLIENT_SERVER_URL": engine.url,
        "HATCHET_CLIENT_TLS_STRATEGY": "none",
        "MAGEFLOW_STORE": server.url,
        "MAGEFLOW_NAMESPACE": namespace,
    }
    shop = EXAMPLES / "hatchet" / "shop.py"
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen([sys.executable, shop, "work"], env=variables, stdout=log)
    try:
        sold = subprocess.run(
            [sys.executable, shop], env=variables, check=True, capture_output=True, text=True
        )
    finally:
        worker.terminate()
    assert sold.stdout == "{'sent': 'paid 30, attempt 1'}\n"
    assert worker.wait(40) == 0, (tmp_path / "log").read_text()
