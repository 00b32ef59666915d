"""Reading functions: what can be a task, and what is refused when it is registered."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import pytest
import typing_extensions
from pydantic import BaseModel

from mageflow_core.errors import ConfigurationError, InvalidInput
from mageflow_core.signatures.binding import Binder, Source
from mageflow_core.signatures.hints import class_hints, name_of
from mageflow_core.signatures.inject import ReturnValue

if TYPE_CHECKING:
    from decimal import Decimal


class Counts(typing_extensions.TypedDict, total=False):
    a: int


class OldDict(TypedDict):
    a: int


class Forward(BaseModel):
    later: Later


def later_param(value: Later) -> None: ...
def later_model(value: Forward) -> None: ...
def later_result() -> Later: ...  # type: ignore[empty-body]
def never_there(value: Decimal) -> None: ...


# Read before `Later` is there, as a task is that stands above its model.
ABOVE = [Binder.of(later_param), Binder.of(later_model), Binder.of(later_result)]


class Later(BaseModel):
    n: int


def plain(n: int, text: str = "x") -> None: ...
async def coroutine(n: int) -> int: ...  # type: ignore[empty-body]
def positional(n: int, /, text: str) -> None: ...
def with_args(n: int, *args: int, flag: bool = False) -> None: ...
def unpacked(**counts: Unpack[Counts]) -> None: ...
def no_type(lock: threading.Lock) -> None: ...
def no_type_with_default(n: int, lock: threading.Thread | None = None) -> None: ...
def no_rest(**locks: threading.Thread) -> None: ...
def no_result() -> threading.Thread: ...  # type: ignore[empty-body]
def old_dict(value: OldDict) -> None: ...
def backends(self: Any, n: int) -> None: ...
def backends_args(*args: Any) -> None: ...
def nothing() -> None: ...


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


class Worker:
    def method(self, n: int) -> None: ...

    def __call__(self, n: int) -> None: ...


def bind(fn: Any, message: Any, **how: Any) -> dict[str, Any]:
    return Binder.of(fn, **how).bind(Source(message=message)).kwargs


@pytest.mark.parametrize(
    "fn",
    [
        plain,
        coroutine,
        logged(plain),
        logged(logged(coroutine)),
        Worker().method,
        Worker(),
        functools.partial(plain, text="bound"),
        lambda n: None,
    ],
)
def test_anything_that_can_be_called_by_name_can_be_a_task(fn: Any) -> None:
    assert bind(fn, {"n": 1}) == {"n": 1}


@pytest.mark.parametrize("fn", [plain, coroutine, logged(plain), Worker().method, Worker()])
def test_annotations_are_found_through_decorators_and_methods(fn: Any) -> None:
    with pytest.raises(InvalidInput, match=r"parameter 'n' \(int\) does not take str 'x'"):
        bind(fn, {"n": "x"})


def test_arguments_that_a_partial_has_already_keep_being_bindable() -> None:
    fn = functools.partial(plain, text="bound")

    assert bind(fn, {"n": 1, "text": "other"}) == {"n": 1, "text": "other"}


def test_a_signature_that_a_decorator_states_is_what_counts() -> None:
    import inspect

    def stated(**kwargs: Any) -> None: ...

    parameter = inspect.Parameter("n", inspect.Parameter.KEYWORD_ONLY, annotation=int)
    stated.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]

    assert bind(stated, {"n": "5", "other": 1}) == {"n": 5}


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (
            positional,
            (
                "task 'positional': parameter 'n' is positional-only, and tasks are called by "
                "name; remove the '/'"
            ),
        ),
        (no_type, "task 'no_type': parameter 'lock' is annotated "),
        (no_rest, None),
        (
            no_result,
            (
                "task 'no_result': its return annotation Thread cannot become JSON: Unable to "
                "generate pydantic-core schema for <class 'threading.Thread'>"
            ),
        ),
        (type, "task 'type': <class 'type'> has no readable signature; wrap it in a function"),
    ],
)
def test_what_can_never_work_is_refused_when_it_is_registered(fn: Any, message: str | None) -> None:
    if message is None:  # nothing can be given to it, and it needs nothing
        assert bind(fn, {"a": 1}) == {}
        return
    with pytest.raises(ConfigurationError) as caught:
        Binder.of(fn)

    assert str(caught.value).startswith(message)


def test_an_annotation_that_cannot_come_from_json_is_refused_with_its_parameter() -> None:
    def connected(n: int, thread: threading.Thread) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        Binder.of(connected)

    assert str(caught.value).startswith(
        "task 'connected': parameter 'thread' is annotated Thread, which cannot come from JSON: "
        "Unable to generate pydantic-core schema"
    )


def test_an_injected_value_of_such_a_type_is_refused_too() -> None:
    def injected(value: ReturnValue[threading.Thread] | None = None) -> None: ...

    with pytest.raises(ConfigurationError, match="parameter 'value'"):
        Binder.of(injected)


def test_a_parameter_of_such_a_type_with_a_default_keeps_that() -> None:
    binder = Binder.of(no_type_with_default)

    assert binder.bind(Source(message={"n": 1, "lock": {}})).kwargs == {"n": 1}
    assert not binder.takes("lock")


def test_star_args_stay_empty() -> None:
    assert bind(with_args, {"n": 1, "args": [2], "flag": True}) == {"n": 1, "flag": True}


def test_unpacked_keywords_are_taken_as_their_type_says() -> None:
    assert bind(unpacked, {"a": "1", "other": 2}) == {"a": 1}


@pytest.mark.skipif("sys.version_info >= (3, 12)", reason="pydantic takes both from Python 3.12 on")
def test_the_typed_dict_that_pydantic_refuses_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"use `typing_extensions\.TypedDict` instead"):
        Binder.of(old_dict)


# --- the backend's own first parameter -----------------------------------------------------------


def test_the_first_parameter_can_be_the_backends() -> None:
    binder = Binder.of(backends, first_is_backends=True)

    assert binder.bind(Source(message={"n": 1, "self": 2})).kwargs == {"n": 1}
    assert not binder.takes("self")


def test_the_backends_parameter_may_be_among_star_args() -> None:
    assert bind(backends_args, {"n": 1}, first_is_backends=True) == {}


def test_a_function_without_a_parameter_for_the_backend_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no parameter for the backend's own argument"):
        Binder.of(nothing, first_is_backends=True)


# --- names of types ------------------------------------------------------------------------------


def test_a_task_may_stand_above_the_types_that_it_names() -> None:
    by_param, by_model, by_result = ABOVE

    assert by_param.bind(Source(message={"n": 1})).kwargs == {"value": Later(n=1)}
    assert by_model.bind(Source(message={"later": {"n": 1}})).kwargs == {
        "value": Forward(later=Later(n=1))
    }
    assert by_result.dump_result(Later(n=1)) == '{"n":1}'


def test_a_type_may_be_local_to_the_function_that_the_task_stands_in() -> None:
    class Local(BaseModel):
        n: int

    def local(value: Local) -> list[Local]: ...  # type: ignore[empty-body]

    def within_another_call() -> Binder:
        return Binder.of(local)

    binder = within_another_call()

    assert binder.bind(Source(message={"n": "1"})).kwargs == {"value": Local(n=1)}
    assert binder.dump_result([Local(n=1)]) == '[{"n":1}]'


def test_a_type_that_is_only_there_for_type_checkers_is_a_clear_error_at_first_use() -> None:
    binder = Binder.of(never_there)

    with pytest.raises(ConfigurationError) as caught:
        binder.bind(Source(message={"value": 1}))

    assert str(caught.value) == (
        "task 'never_there': an annotation cannot be read: name 'Decimal' is not defined; import "
        "it at run time, not only under TYPE_CHECKING"
    )


def test_hints_of_a_class_are_as_written_where_they_cannot_be_read() -> None:
    class Unreadable:
        value: Nowhere  # type: ignore[name-defined]  # noqa: F821

    assert class_hints(Unreadable) == {"value": "Nowhere"}


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (Later, "Later"),
        (list[Later], "list[Later]"),
        (dict[str, int] | None, "dict[str, int] | None"),
        (ReturnValue[int], "int"),
        (Any, "Any"),
    ],
)
def test_annotations_are_written_without_modules_and_our_notes(annotation: Any, name: str) -> None:
    assert name_of(annotation) == name


def test_the_default_name_of_a_task_is_that_of_its_function() -> None:
    assert Binder.of(plain).task == "plain"
    assert Binder.of(Worker()).task == "worker"
    assert Binder.of(plain, name="given").task == "given"
