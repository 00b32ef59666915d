"""Every check of the project: ``nox`` runs those that a change must pass, ``nox -s NAME`` one.

``scripts/test`` does the same on a machine that has nothing but Python.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox
import nox.command

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")
ADAPTERS = [f"./{path.parent}" for path in sorted(Path().glob("adapters/*/pyproject.toml"))]
PARTS = [".", "./mageflow_core", "./conformance_tests", *ADAPTERS]
# Processes that tests start by the hundred would compile all that they import, each for itself.
COMPILED = {"UV_COMPILE_BYTECODE": "1"}
CHECKS = ROOT / "tests" / "packaging"
# The parts want each other by version, not by folder: builds publish that, and an editable install
# of all of them would otherwise hold two sources for one name.
PINNED = {"MAGEFLOW_PINNED": "1"}
# What takes its time and says little of versions: it is tried with the newest ones alone.
NEWEST_ALONE = [
    *("mageflow_core/tests/machine/*", "mageflow_core/tests/signatures/test_codec.py"),
    *("*/test_machine_on_redis.py", "*/test_redis_agrees_with_memory.py"),
    *("tests/docs/*", "tests/testing/*"),
    *(f"tests/cli/test_{name}.py" for name in ("demo", "doctor", "on_redis", "run")),
    *("adapters/*/test_commands.py", "adapters/*/test_harnesses.py", "adapters/*/test_outages.py"),
]
# Tests of a file share what takes long to start. They wait for half of their time: for servers, and
# for what becomes of killed workers.
SIDE_BY_SIDE = [f"--numprocesses={(os.cpu_count() or 1) + 1}", "--dist=loadfile"]
TRIED = ["asyncio", "taskiq-redis-stream", "taskiq-rabbitmq", "hatchet-stub"]
# Their time is better spent on the others.
TRIED_BESIDES = [
    *("taskiq-redis-list", "taskiq-nats"),
    *("celery-redis-prefork", "celery-redis-threads", "celery-rabbitmq-prefork"),
    "hatchet",  # needs the engine's programs, or a token of one that runs
]
MUTANTS = "conformance_tests/tests/backends/test_mutants.py"


def group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(GROUPS, name))


def install_editable(session: nox.Session, *more: str) -> None:
    editable = [argument for part in PARTS for argument in ("--editable", part)]
    session.install(*editable, *more, env={**PINNED, **COMPILED})
    session.env["PYTHONDONTWRITEBYTECODE"] = ""


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of sources and tests, and what users' type checkers see."""
    install_editable(session, *group("test"), *group("types"))
    # A run for each part: tests are no packages, and two parts may have tests of one name.
    face = ["conftest.py", "hatch_build.py", "noxfile.py", "src", "tests"]
    session.run("mypy", *face, env={"MYPYPATH": "src"})
    for part in PARTS[1:]:
        # What tests share is imported by its folder's name, from a folder that pytest adds.
        shared = [str(path.parent.parent) for path in Path(part).glob("tests/**/__init__.py")]
        path = os.pathsep.join([f"{part}/src", part, *shared])
        session.run("mypy", f"{part}/src", f"{part}/tests", env={"MYPYPATH": path})
    session.run("mypy", "docs/examples/adapter")
    session.run("basedpyright")


@nox.session(reuse_venv=False)
def core_alone(session: nox.Session) -> None:
    """Import the core where nothing else is installed."""
    session.install("./mageflow_core")
    check = CHECKS / "check_core_alone.py"
    session.chdir(session.create_tmp())
    session.run("python", check)


@nox.session(venv_backend="uv", reuse_venv=False)
def minimum(session: nox.Session) -> None:
    """Run the tests on the oldest versions that the distributions say they work with."""
    install_editable(session, "--resolution=lowest-direct", *group("test"))
    left_out = [f"--ignore-glob={path}" for path in NEWEST_ALONE]
    # pytest leaves nothing out of a folder that is named to it, in its settings too.
    folders = ["mageflow_core/tests", "tests", *(f"{adapter}/tests" for adapter in ADAPTERS)]
    session.run("pytest", *SIDE_BY_SIDE, *left_out, "--quiet", *folders, *session.posargs)


@nox.session(venv_backend="uv", reuse_venv=False)
def wheels(session: nox.Session) -> None:
    """Build what is published and try it away from the checkout."""
    place = Path(session.create_tmp()).resolve()
    shutil.rmtree(place / "dist", ignore_errors=True)
    for part in PARTS:
        # Without --wheel or --sdist the wheel is built from the sdist, which tests that one too.
        build = ["uv", "build", "--quiet", f"--out-dir={place / 'dist'}", part]
        session.run_install(*build, env=PINNED)
    built = [str(path) for path in place.glob("dist/*.whl")]
    session.install(*built, "pytest")  # the plugin loads where that is
    check = CHECKS / "check_wheels.py"
    session.chdir(place)
    session.run("python", check, *built, *place.glob("dist/*.tar.gz"))
    session.run("mageflow", "--help", silent=True)
    session.run("mageflow", "backends")
    session.run("mageflow-conformance", "store", "memory://")


@nox.session
def docs(session: nox.Session) -> None:
    """Run what the documentation shows."""
    install_editable(session, *group("test"))
    session.run("pytest", *SIDE_BY_SIDE, "tests/docs", *session.posargs)


def try_backend(session: nox.Session, backend: str, *arguments: str, silent: bool = False) -> str:
    report = Path(session.create_tmp()).resolve() / f"{backend}.json"
    command = ["mageflow-conformance", "run", backend, f"--report={report}", *arguments]
    return str(session.run(*command, silent=silent))


@nox.session
def conformance(session: nox.Session) -> None:
    """Try what backends are held to, with real engines; arguments are the names of others."""
    install_editable(session, *group("test"))
    has_hatchet = shutil.which("hatchet-lite") or os.environ.get("HATCHET_CLIENT_TOKEN")
    tried = session.posargs or [*TRIED, *(["hatchet"] if has_hatchet else [])]
    failed = []
    # They mostly wait, for engines that start and workers that were killed.
    with ThreadPoolExecutor(2) as pool:
        trying = {
            backend: pool.submit(try_backend, session, backend, silent=True) for backend in tried
        }
        for backend, outcome in trying.items():
            try:
                session.log(f"{backend}:\n{outcome.result()}")
            except nox.command.CommandFailed:
                failed.append(backend)
    if failed:
        session.error(f"not conformant: {', '.join(failed)}")


@nox.session(default=False)
@nox.parametrize("backend", [*TRIED, *TRIED_BESIDES])
def trial(session: nox.Session, backend: str) -> None:
    """The same of one; arguments go to the suite."""
    install_editable(session, *group("test"))
    try_backend(session, backend, *session.posargs)


# The last of those that run by default, so that its summary is what one sees at the end.
@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    install_editable(session, *group("test"))
    left_out = ["--ignore=tests/docs", f"--ignore={MUTANTS}"]
    session.run("pytest", *SIDE_BY_SIDE, *left_out, *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Try whether broken backends fail the requirements that they name."""
    install_editable(session, *group("test"))
    session.run("pytest", MUTANTS, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks; arguments go to each of them."""
    install_editable(session, *group("bench"))
    for benchmark in sorted(Path("benchmarks").glob("*.py")):
        session.run("python", benchmark, *session.posargs)
