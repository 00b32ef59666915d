"""What is injected: ReturnValue, ErrorValue, SwarmReport, Context."""

from __future__ import annotations

import dataclasses
import logging
from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from mageflow_core.errors import InvalidInput, MissingArgument
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.serialization import to_plain
from mageflow_core.signatures.binding import Binder, Source
from mageflow_core.signatures.inject import (
    Context,
    ErrorValue,
    Injection,
    ReturnValue,
    SwarmCounts,
    SwarmReport,
    injection_of,
    unaliased,
)


class Page(BaseModel):
    title: str


class OnEnd(BaseModel):
    """Everything that can be asked for, as fields."""

    word: str
    value: ReturnValue[int] = 0
    maybe: ReturnValue[int] | None = None
    error: ErrorValue | None = None
    report: SwarmReport | None = None
    context: Context | None = None


class NeedsPage(BaseModel):
    page: ReturnValue[Page]
    word: str


class NeedsContext(BaseModel):
    context: Context
    report: SwarmReport


class AliasedResult(BaseModel):
    value: ReturnValue[int] = Field(0, alias="val")


@dataclasses.dataclass
class DataStep:
    word: str
    value: ReturnValue[int] = 0


class DictStep(TypedDict):
    word: str
    value: NotRequired[ReturnValue[int]]


class DictResults(TypedDict):
    mageflow_results: NotRequired[Any]


def needs(page: ReturnValue[Page], word: str) -> None: ...
def may(page: ReturnValue[Page] | None = None, word: str = "") -> None: ...
def defaulted(number: ReturnValue[int] = 7) -> None: ...
def untyped(number: ReturnValue) -> None: ...  # type: ignore[type-arg]
def on_error(error: ErrorValue, url: str) -> None: ...
def may_fail(error: ErrorValue | None = None) -> None: ...
def on_swarm(report: SwarmReport) -> None: ...
def running(ctx: Context, n: int) -> None: ...
def everything(msg: OnEnd) -> None: ...
def needs_page(msg: NeedsPage) -> None: ...
def needs_objects(msg: NeedsContext) -> None: ...
def aliased(msg: AliasedResult) -> None: ...
def data_step(step: DataStep) -> None: ...
def dict_step(step: DictStep) -> None: ...
def dict_results(step: DictResults) -> None: ...
def with_rest(ctx: Context, **rest: Any) -> None: ...
def by_name(a: int, step: DataStep) -> None: ...
def optional_model(a: int, step: DataStep | None = None, more: DictStep | None = None) -> None: ...
def defaulted_model(a: int, step: DataStep = DataStep("d")) -> None: ...  # noqa: B008


ERROR = ErrorInfo(
    cause=Cause.BODY,
    type="builtins.ValueError",
    message="no",
    traceback="Traceback …",
    task="fetch",
    key="run/1",
    attempts=3,
    owner="run",
    failed=2,
    failures=(ErrorInfo(cause=Cause.TIMEOUT, type="TimeoutError", message="late"),),
)
REPORT = SwarmReport(SwarmCounts(total=2, succeeded=2), results=[1, 2])


def make_context() -> Context:
    async def alive() -> bool:
        return True

    return Context(
        key="run/1",
        run_id="run",
        task="running",
        attempt=1,
        fence=1,
        idempotency_key="run/1",
        cancelled=lambda: False,
        alive=alive,
        alive_sync=lambda: True,
        logger=logging.getLogger("test"),
    )


def kwargs(fn: Any, **source: Any) -> dict[str, Any]:
    source["args"] = {k: to_plain(v) for k, v in source.get("args", {}).items()}
    return Binder.of(fn).bind(Source(**source)).kwargs


# --- annotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "injection"),
    [
        (ReturnValue[int], Injection.RETURN_VALUE),
        (ReturnValue[Page] | None, Injection.RETURN_VALUE),
        (ReturnValue, Injection.RETURN_VALUE),
        (Annotated[ReturnValue[int], "note"], Injection.RETURN_VALUE),
        (ErrorValue, Injection.ERROR_VALUE),
        (ErrorValue | None, Injection.ERROR_VALUE),
        (Annotated[ErrorValue, "note"], Injection.ERROR_VALUE),
        (None | SwarmReport, Injection.SWARM_REPORT),
        (Context, Injection.CONTEXT),
        (int, None),
        (None, None),
        (Any, None),
        (list[int], None),
        (int | None, None),
        ("Context", None),
    ],
)
def test_annotations_say_what_is_injected(annotation: Any, injection: Injection | None) -> None:
    assert injection_of(annotation) is injection


def test_a_named_type_is_what_it_names() -> None:
    from typing_extensions import TypeAliasType

    named = TypeAliasType("named", ReturnValue[int])

    assert unaliased(named) == ReturnValue[int]
    assert injection_of(named) is Injection.RETURN_VALUE


@pytest.mark.parametrize(
    ("fn", "takes"),
    [
        (needs, True),
        (may, True),
        (everything, True),
        (data_step, True),
        (dict_step, True),
        (dict_results, True),
        (on_error, False),
        (on_swarm, False),
        (running, False),
    ],
)
def test_a_task_takes_the_previous_result_if_it_has_a_place_for_it(fn: Any, *, takes: bool) -> None:
    assert Binder.of(fn).takes_previous is takes


# --- ReturnValue ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "source", "expected"),
    [
        (
            needs,
            {"message": {"word": "w"}, "previous": {"title": "t"}},
            {"page": Page(title="t"), "word": "w"},
        ),
        (may, {"previous": {"title": "t"}}, {"page": Page(title="t")}),
        (may, {"previous": None}, {"page": None}),
        (may, {}, {}),
        (defaulted, {"previous": 5}, {"number": 5}),
        (defaulted, {}, {}),
        (untyped, {"previous": [1, {"a": 2}]}, {"number": [1, {"a": 2}]}),
        (data_step, {"message": {"word": "w"}, "previous": 5}, {"step": DataStep("w", 5)}),
        (dict_step, {"message": {"word": "w"}, "previous": 5}, {"step": {"word": "w", "value": 5}}),
        (dict_step, {"message": {"word": "w"}}, {"step": {"word": "w"}}),
        (dict_results, {"previous": [1]}, {"step": {"mageflow_results": [1]}}),
        (aliased, {"previous": 5}, {"msg": AliasedResult(val=5)}),
        (aliased, {"message": {"val": 4}, "previous": 5}, {"msg": AliasedResult(val=5)}),
    ],
)
def test_the_previous_result_goes_where_it_is_asked_for(
    fn: Any, source: dict[str, Any], expected: Any
) -> None:
    assert kwargs(fn, **source) == expected


def test_a_field_of_the_models_gets_the_previous_result() -> None:
    message = kwargs(everything, message={"word": "w"}, previous=5)["msg"]

    assert (message.word, message.value, message.maybe) == ("w", 5, 5)


def test_the_previous_result_is_validated_by_its_type() -> None:
    with pytest.raises(InvalidInput, match=r"parameter 'page' \(Page\), at title does not take"):
        kwargs(needs, message={"word": "w"}, previous={"title": 5})


def test_a_previous_result_of_none_is_a_value() -> None:
    assert kwargs(untyped, previous=None) == {"number": None}


def test_a_previous_result_is_never_looked_through_for_marks() -> None:
    assert kwargs(untyped, previous={"$exactly": 1}) == {"number": {"$exactly": 1}}


# --- bound values for what is injected -----------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "args", "expected"),
    [
        (needs, {"page": {"title": "b"}, "word": "w"}, {"page": Page(title="b"), "word": "w"}),
        (needs, {"page": Page(title="b"), "word": "w"}, {"page": Page(title="b"), "word": "w"}),
        (defaulted, {"number": 9}, {"number": 9}),
        (data_step, {"word": "w", "value": 9}, {"step": DataStep("w", 9)}),
        (may_fail, {"error": ERROR}, {"error": ERROR}),
    ],
)
def test_a_bound_value_is_used_where_there_is_nothing_to_inject(
    fn: Any, args: Any, expected: Any
) -> None:
    assert kwargs(fn, args=args) == expected


@pytest.mark.parametrize(
    ("fn", "args", "target"),
    [
        (needs, {"page": {"title": "b"}}, "parameter 'page' (ReturnValue)"),
        (data_step, {"value": 9}, "field 'value' of parameter 'step' (ReturnValue)"),
        (
            dict_results,
            {"mageflow_results": 9},
            "field 'mageflow_results' of parameter 'step' (ReturnValue)",
        ),
    ],
)
def test_a_bound_value_is_an_error_where_there_is_something_to_inject(
    fn: Any, args: Any, target: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        kwargs(fn, message={"word": "w"}, args=args, previous={"title": "t"})

    assert str(caught.value) == (
        f"task {fn.__name__!r}: {target} is bound to a value, and there is one to inject; leave "
        "one of them out"
    )


def test_a_value_bound_on_a_container_counts_as_bound() -> None:
    with pytest.raises(InvalidInput, match="is bound to a value"):
        kwargs(needs, container_args=[{"page": {"title": "b"}}], previous={"title": "t"})


def test_the_fields_of_a_model_that_is_bound_as_a_whole_are_injected_all_the_same() -> None:
    # Given a bound model, which has a value for each field, asked for or not
    step = DataStep("w", 0)

    # When there is a previous result, then the field for it has that
    assert kwargs(data_step, args={"step": step}, previous=5) == {"step": DataStep("w", 5)}


@pytest.mark.parametrize(
    ("fn", "message", "expected"),
    [
        (needs, {"page": {"title": "m"}, "word": "w"}, {"page": Page(title="m"), "word": "w"}),
        (data_step, {"word": "w", "value": 3}, {"step": DataStep("w", 3)}),
    ],
)
def test_a_message_has_the_value_where_nothing_is_injected_or_bound(
    fn: Any, message: Any, expected: Any
) -> None:
    assert kwargs(fn, message=message) == expected


def test_what_is_injected_wins_over_the_message() -> None:
    assert kwargs(data_step, message={"word": "w", "value": 3}, previous=4) == {
        "step": DataStep("w", 4)
    }


@pytest.mark.parametrize(
    ("fn", "source", "name", "kind"),
    [
        (needs, {"message": {"word": "w"}}, "page", "ReturnValue"),
        (on_error, {"message": {"url": "u"}}, "error", "ErrorValue"),
        (on_swarm, {}, "report", "SwarmReport"),
        (running, {"message": {"n": 1}}, "ctx", "Context"),
    ],
)
def test_a_needed_value_that_is_neither_there_nor_bound_is_a_clear_error(
    fn: Any, source: Any, name: str, kind: str
) -> None:
    with pytest.raises(MissingArgument) as caught:
        kwargs(fn, **source)

    assert str(caught.value) == (
        f"task {fn.__name__!r}: parameter {name!r} is a {kind}, and there is none here; bind a "
        "value, or give it a default"
    )


# --- errors, reports, contexts -------------------------------------------------------------------


def test_an_error_callback_gets_the_error_and_the_failed_tasks_message() -> None:
    bound = kwargs(on_error, message={"url": "u"}, error=ERROR)

    assert bound == {"error": ERROR, "url": "u"}
    assert bound["error"] is ERROR


def test_an_error_callback_may_have_a_message_that_is_no_mapping() -> None:
    assert kwargs(on_error, message="u", error=ERROR) == {"error": ERROR, "url": "u"}
    assert kwargs(may_fail, message="u", error=ERROR) == {"error": ERROR}


def test_an_error_in_a_field_is_complete() -> None:
    bound = kwargs(everything, message={"word": "w"}, error=ERROR)["msg"]

    assert bound.error == ERROR
    assert bound.error.failures[0].cause is Cause.TIMEOUT


def test_an_error_has_the_fields_that_bodies_use() -> None:
    error = kwargs(on_error, message={"url": "u"}, error=ERROR)["error"]

    assert (error.type, error.message, error.traceback) == (
        "builtins.ValueError",
        "no",
        "Traceback …",
    )
    assert (error.task, error.key, error.attempts, error.owner) == ("fetch", "run/1", 3, "run")
    assert (error.cause, error.failed, len(error.failures)) == ("body", 2, 1)


def test_a_report_is_given_as_it_is() -> None:
    assert kwargs(on_swarm, report=REPORT)["report"] is REPORT


def test_a_context_is_given_as_it_is_whatever_the_parameter_is_called() -> None:
    context = make_context()

    assert kwargs(running, message={"n": 1}, context=context) == {"ctx": context, "n": 1}


def test_objects_in_fields_of_a_model_are_given_as_they_are() -> None:
    context = make_context()

    message = kwargs(everything, message={"word": "w"}, context=context, report=REPORT)["msg"]

    assert message.context is context
    assert message.report is REPORT


def test_needed_objects_in_fields_of_a_model_are_given() -> None:
    context = make_context()

    message = kwargs(needs_objects, context=context, report=REPORT)["msg"]

    assert message.context is context
    assert message.report is REPORT


def test_fields_that_are_left_out_keep_their_defaults() -> None:
    message = kwargs(everything, message={"word": "w"})["msg"]

    assert message == OnEnd(word="w")


@pytest.mark.parametrize("value", ["$injected", "text", {"key": "k"}, 5])
def test_no_message_can_make_an_object_that_only_mageflow_makes(value: Any) -> None:
    message = {"word": "w", "context": value, "report": value, "ctx": value, "n": 1}

    assert kwargs(everything, message=message)["msg"].context is None
    with pytest.raises(MissingArgument, match="'ctx' is a Context"):
        kwargs(running, message=message)


def test_the_placeholder_means_nothing_outside_of_an_injection() -> None:
    with pytest.raises(ValidationError, match="Context is given by MageFlow only"):
        OnEnd.model_validate({"word": "w", "context": "$injected"})


@pytest.mark.parametrize(
    ("fn", "name", "target"),
    [
        (running, "ctx", "parameter 'ctx' (Context)"),
        (on_swarm, "report", "parameter 'report' (SwarmReport)"),
        (everything, "context", "field 'context' of parameter 'msg' (Context)"),
    ],
)
def test_an_object_that_only_mageflow_makes_cannot_be_bound(
    fn: Any, name: str, target: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Binder.of(fn).check_bound({name: 1})

    assert str(caught.value) == (
        f"task {fn.__name__!r}: {target} is given by MageFlow; do not bind it"
    )


def test_the_rest_never_takes_what_an_injected_parameter_is_called() -> None:
    context = make_context()

    assert kwargs(with_rest, message={"ctx": 1, "x": 2}, context=context) == {
        "ctx": context,
        "x": 2,
    }


# --- models that are not the message's -----------------------------------------------------------


def test_a_field_is_injected_in_a_model_that_is_taken_by_name_too() -> None:
    bound = kwargs(by_name, message={"a": 1, "step": {"word": "w"}}, previous=5)

    assert bound == {"a": 1, "step": DataStep("w", 5)}


def test_a_model_with_a_default_that_is_not_given_keeps_it() -> None:
    assert kwargs(defaulted_model, message={"a": 1}, previous=5) == {"a": 1}


def test_a_model_with_a_default_that_is_given_gets_its_field_injected() -> None:
    bound = kwargs(defaulted_model, message={"a": 1, "step": {"word": "w"}}, previous=5)

    assert bound == {"a": 1, "step": DataStep("w", 5)}


def test_a_model_that_is_needed_and_not_given_has_only_what_is_injected() -> None:
    with pytest.raises(MissingArgument, match="field word of parameter 'step'"):
        kwargs(by_name, message={"a": 1}, previous=5)


def test_what_is_no_mapping_where_a_model_belongs_is_named_by_validation() -> None:
    with pytest.raises(InvalidInput, match=r"'step' .* does not take int 3"):
        kwargs(by_name, message={"a": 1, "step": 3}, previous=5)
