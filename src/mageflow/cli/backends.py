"""`mageflow backends`: what is installed to run tasks on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mageflow.cli.output import FAILED, AsJson, print_json, stdout, table, told
from mageflow_core.backends.loader import load_backend
from mageflow_core.errors import SettingsError
from mageflow_core.loading import BACKENDS, Installed, installed
from mageflow_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """capabilities: of an instance, as they may depend on how it is configured. lacks: what the
    settings have to say before there can be one. problem: why it cannot be used."""

    name: str
    distribution: str
    version: str
    capabilities: dict[str, Any] | None
    lacks: str | None = None
    problem: str | None = None


def look_at(name: str, source: Installed, settings: Settings) -> Found:
    """Whatever an adapter raises is what is wrong with it."""
    try:
        caps = asdict(load_backend(name).from_settings(settings).caps)
    except SettingsError as error:
        return Found(name, source.dist, source.version, None, lacks=str(error))
    except Exception as error:  # noqa: BLE001
        problem = f"{type(error).__name__}: {error}"
        return Found(name, source.dist, source.version, None, problem=problem)
    return Found(name, source.dist, source.version, caps)


def backends(as_json: AsJson = False) -> None:
    """List the installed backends and what each of them can do."""
    import typer  # noqa: PLC0415

    with told():
        settings = Settings.load()
    found = [look_at(name, source, settings) for name, source in installed(BACKENDS).items()]
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        rows = [(each.name, each.distribution, each.version, can(each)) for each in found]
        stdout().print(table(("backend", "distribution", "version", "can"), rows))
    if any(each.problem for each in found):
        raise typer.Exit(FAILED)


def can(found: Found) -> str:
    if found.lacks is not None:
        return f"not set up: {found.lacks}"
    if found.capabilities is None:
        return f"does not load: {found.problem}"
    return ", ".join(name for name, value in found.capabilities.items() if value)
