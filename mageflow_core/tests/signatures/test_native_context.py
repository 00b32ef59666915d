"""A parameter that gets the engine's own context."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mageflow_core import Context, NativeContext
from mageflow_core.errors import ConfigurationError, InvalidInput, MissingArgument, UnknownArgument
from mageflow_core.plain import to_plain
from mageflow_core.signatures.binding import Binder, Source


class Engines:
    """What pydantic knows nothing of."""


class Holds(BaseModel):
    model_config = {"arbitrary_types_allowed": True}

    native: NativeContext[Engines]


def asks(n: int, native: NativeContext[Engines]) -> None: ...
def may_ask(n: int, native: NativeContext[Engines] | None = None) -> None: ...
def asks_in_a_model(msg: Holds) -> None: ...


def context_with(native: Any) -> Context:
    async def alive() -> bool:
        return True

    return Context(
        key="run",
        run_id="run",
        task="asks",
        attempt=1,
        fence=1,
        idempotency_key="run",
        cancelled=lambda: False,
        alive=alive,
        alive_sync=lambda: True,
        logger=logging.getLogger("test"),
        native=native,
    )


def kwargs(fn: Any, **source: Any) -> dict[str, Any]:
    source["args"] = {k: to_plain(v) for k, v in source.get("args", {}).items()}
    return Binder.of(fn).bind(Source(**source)).kwargs


def test_it_is_the_engines_own() -> None:
    native = Engines()
    bound = kwargs(asks, message={"n": 1}, context=context_with(native))
    assert bound == {"n": 1, "native": native}
    assert Binder.of(asks).takes_context


def test_where_an_engine_has_none_it_is_missing_or_has_its_default() -> None:
    with pytest.raises(MissingArgument, match="'native' is a NativeContext"):
        kwargs(asks, message={"n": 1}, context=context_with(None))
    assert kwargs(may_ask, message={"n": 1}, context=context_with(None)) == {"n": 1}


def test_it_can_be_neither_bound_nor_sent() -> None:
    with pytest.raises((InvalidInput, UnknownArgument), match="native"):
        kwargs(asks, args={"native": 1}, message={"n": 1}, context=context_with(Engines()))


def test_it_is_no_field_of_a_model() -> None:
    with pytest.raises(ConfigurationError, match="field 'native' of parameter 'msg'"):
        Binder.of(asks_in_a_model)
