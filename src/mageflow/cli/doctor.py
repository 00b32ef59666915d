"""`mageflow doctor`: whether MageFlow works here, as it is installed and configured."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import typer

from mageflow.cli.checks import SHOWN, Check, plugins, versions
from mageflow.cli.output import FAILED, AsJson, print_json, stdout, table, warnings_left_out
from mageflow.cli.shared import Namespace, StoreUrl, given
from mageflow.cli.trial import backend_checks, flow_check, store_checks
from mageflow_core.errors import MageflowError, SettingsError
from mageflow_core.loading import BACKENDS, STORES
from mageflow_core.settings import Settings, safe_url


def doctor(as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None) -> None:
    """Check the installation, the settings, the store and the backend: whether a flow of one
    task runs."""
    options = given(store=store, namespace=namespace)
    settings, reading = _settings(options)
    checks = [versions(), reading, *plugins(BACKENDS, "backend"), *plugins(STORES, "store")]
    if settings is not None:
        with warnings_left_out():
            checks += asyncio.run(_tried(settings))
    shown = list(_shown(settings, options)) if settings is not None else []
    healthy = all(check.state != "problem" for check in checks)
    if as_json:
        print_json(
            {
                "ok": healthy,
                "checks": [check.to_json() for check in checks],
                "settings": {name: {"value": v, "from": origin} for name, v, origin in shown},
            }
        )
    else:
        console = stdout()
        rows = [(SHOWN[each.state], each.name, each.detail) for each in checks]
        console.print(table(("", "check", "found"), rows))
        if shown:
            console.print()
            console.print(table(("setting", "value", "from"), shown))
    if not healthy:
        raise typer.Exit(FAILED)


def _settings(options: dict[str, Any]) -> tuple[Settings | None, Check]:
    try:
        return Settings.load(**options), Check("settings", "ok", "can be read")
    except SettingsError as error:
        return None, Check("settings", "problem", str(error))


def _shown(settings: Settings, options: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    origins = {**Settings.origins(), **{name: f"the option --{name}" for name in options}}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        shown = safe_url(value) if isinstance(value, str) else value
        yield name, shown, origins.get(name, "default")


async def _tried(settings: Settings) -> list[Check]:
    """The store and the backend first: where they do not answer, no flow need be tried."""
    try:
        found = await store_checks(settings)
    except MageflowError as error:
        return [Check(f"store {safe_url(settings.store)}", "problem", str(error))]
    checked = await backend_checks(settings)
    if any(check.state == "problem" for check in checked):
        return [*checked, *found]
    return [await flow_check(settings), *checked, *found]
