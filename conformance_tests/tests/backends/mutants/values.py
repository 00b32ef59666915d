"""Workers that change what goes in or comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.runtime import inputs as inputs_module
from mageflow_core.runtime.inputs import Inputs
from mageflow_core.runtime.runner import Runner
from mageflow_core.serialization import loads
from mageflow_core.signatures.binding import MISSING, Binder
from mutants.breaking import fails, instead, replace

KEPT = 64 * 1024  # characters


def _results(change: Callable[[str], str]) -> None:
    @replace(Runner, "_text_of")
    def text_of(before: Any, self: Any, task: Any, value: Any) -> str:
        return change(before(self, task, value))


@fails("B-DATA-01")
def keeps_only_the_beginning(_mf: Mageflow) -> None:
    _results(lambda text: text if len(text) < KEPT else f'{text[:KEPT]}"')


@fails("B-DATA-02")
def has_no_limits(mf: Mageflow) -> None:
    mf.settings = mf.settings.model_copy(update={"max_value_bytes": 10**9})


@fails("B-DATA-03")
def knows_no_text_but_ascii(_mf: Mageflow) -> None:
    @replace(inputs_module, "loads")
    def read(before: Any, text: str) -> Any:
        ascii_only = json.dumps(before(text)).replace("\\u", "?")
        return before(ascii_only)


@fails("B-DATA-04")
def has_floats_for_all_numbers(_mf: Mageflow) -> None:
    _results(lambda text: json.dumps(json.loads(text, parse_int=float)))


@fails("B-DATA-05")
def gives_models_as_text(_mf: Mageflow) -> None:
    @replace(Binder, "dump_result")
    def dump_result(_before: Any, _self: Any, value: Any) -> str:
        return json.dumps(value, default=str)


@fails("B-DATA-08")
def gives_bodies_what_others_have_got(_mf: Mageflow) -> None:
    """Where one gets what another one got, it gets the same object."""
    given: dict[str, Any] = {}

    @replace(Inputs, "bind")
    async def bind(before: Any, self: Any, *more: Any) -> Any:
        bound = await before(self, *more)
        for name, value in bound.kwargs.items():
            if isinstance(value, list | dict):
                bound.kwargs[name] = given.setdefault(f"{name} {json.dumps(value)}", value)
        return bound


@fails("B-FLOW-01", "B-FLOW-11")
def forgets_the_result_before(_mf: Mageflow) -> None:
    @replace(Inputs, "bind")
    async def bind(before: Any, self: Any, task: Any, work: Any, *more: Any) -> Any:
        def lost(text: str) -> Any:
            return MISSING if text is work.input.previous else loads(text)

        instead(inputs_module, "loads", lost)
        return await before(self, task, work, *more)
