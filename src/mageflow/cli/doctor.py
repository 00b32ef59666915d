"""`mageflow doctor`: whether MageFlow works here, as it is installed and configured."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from mageflow import __version__
from mageflow.cli.output import FAILED, AsJson, print_json, stdout, table
from mageflow_core import Mageflow
from mageflow_core.errors import MageflowError, SettingsError
from mageflow_core.loading import BACKENDS, STORES, installed, load
from mageflow_core.settings import Settings, safe_url
from mageflow_core.stores.loader import load_store

PATIENCE = 10.0  # seconds, for a flow of one task that does nothing


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. detail: what was found; where it is wrong, also what to do."""

    name: str
    ok: bool
    detail: str


def doctor(as_json: AsJson = False) -> None:
    """Check the installation and the settings: whether a flow of one task runs with them."""
    settings, problem = _settings()
    checks = [_versions(), Check("settings", problem is None, problem or "can be read")]
    checks += [*_plugins(BACKENDS, "backend"), *_plugins(STORES, "store")]
    if settings is not None:
        checks += asyncio.run(_flow(settings))
    shown = list(_shown(settings)) if settings is not None else []
    healthy = all(check.ok for check in checks)
    if as_json:
        print_json(
            {
                "ok": healthy,
                "checks": [asdict(check) for check in checks],
                "settings": {name: {"value": v, "from": origin} for name, v, origin in shown},
            }
        )
    else:
        console = stdout()
        rows = [("ok" if each.ok else "WRONG", each.name, each.detail) for each in checks]
        console.print(table(("", "check", "found"), rows))
        if shown:
            console.print()
            console.print(table(("setting", "value", "from"), shown))
    if not healthy:
        raise typer.Exit(FAILED)


def _versions() -> Check:
    """The parts have one version."""
    python = f"Python {platform.python_version()} on {platform.system()}"
    try:
        core = version("mageflow-core")
    except PackageNotFoundError:
        core = "not installed, but on the path"
    detail = f"mageflow {__version__}, mageflow-core {core}, {python}"
    if core != __version__:
        return Check("versions", False, f"{detail}: install one version of both")
    return Check("versions", True, detail)


def _settings() -> tuple[Settings | None, str | None]:
    try:
        return Settings.load(), None
    except SettingsError as error:
        return None, str(error)


def _shown(settings: Settings) -> Iterator[tuple[str, Any, str]]:
    origins = Settings.origins()
    for name in Settings.model_fields:
        value = getattr(settings, name)
        shown = safe_url(value) if isinstance(value, str) else value
        yield name, shown, origins.get(name, "default")


def _plugins(group: str, kind: str) -> Iterator[Check]:
    for name, source in installed(group).items():
        try:
            load(group, name)
        except Exception as error:  # noqa: BLE001  # whatever an adapter raises at import
            why = (
                f"does not load: {type(error).__name__}: {error}; reinstall or remove {source.dist}"
            )
            yield Check(f"{kind} {name}", False, why)
        else:
            yield Check(f"{kind} {name}", True, f"{source.dist} {source.version}")


async def _flow(settings: Settings) -> list[Check]:
    """Whether a flow runs, and what its store does not promise."""
    name = f"a flow on {settings.backend} and {safe_url(settings.store)}"
    app = Mageflow(settings=settings)
    app.task(name="doctor")(_answer)
    try:
        durable = load_store(settings.store).durable
        async with app:
            run = await app.start(app.registry.find("doctor"), {"question": 1})
            answer = await run.result(timeout=PATIENCE)
    except MageflowError as error:
        return [Check(name, False, str(error))]
    if answer != 1:
        return [Check(name, False, f"gave {answer!r} in place of 1; please report this")]
    kept = Check("what is stored", True, f"is kept {durable}")
    return [Check(name, True, "runs"), kept]


def _answer(question: int) -> int:
    return question
