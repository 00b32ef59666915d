"""`register_task` and `handle_task_callback`."""

from typing import Any

import pytest
from pydantic import BaseModel

from mageflow import (
    AcceptParams,
    Context,
    ErrorValue,
    Mageflow,
    ReturnValue,
    TaskFailed,
    TaskSignature,
    chain,
    errors,
    graph,
    handle_task_callback,
    register_task,
    swarm,
)


async def result_of(app: Mageflow, signature: Any, message: Any = None) -> Any:
    started = await app.start(signature, {} if message is None else message)
    return await started.result(timeout=20)


async def test_a_task_is_registered_with_the_app_that_is_entered() -> None:
    async with Mageflow() as outer, Mageflow() as inner:

        @register_task("here")
        async def here() -> str:
            return "here"

        assert inner.registry.find("here") is here
        assert outer.registry.find("here") is None


async def test_options_of_a_registered_task_are_those_of_any_task() -> None:
    async with Mageflow() as app:

        @register_task("often", aliases=("sometimes",), retries=3, timeout=5)
        def often() -> int:
            return 1

        assert (often.options.retry and often.options.retry.retries) == 3
        assert app.registry.find("sometimes") is often
        assert await result_of(app, often) == 1


async def test_an_option_that_is_none_is_refused() -> None:
    async with Mageflow():
        with pytest.raises(errors.SignatureError, match="retires"):
            register_task("x", retires=3)(lambda: None)


@pytest.mark.parametrize(
    "message", [{"a": {"b": 1}}, {}, 3, "text", [1, [2]], None, True, 2**60, 0.5]
)
async def test_the_first_parameter_gets_the_message_whatever_it_is(message: Any) -> None:
    async with Mageflow() as app:

        @register_task("echo")
        @handle_task_callback()
        async def echo(whatever):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            return {"got": whatever}

        started = await app.start(echo, message)
        assert await started.result(timeout=20) == {"got": message}


@pytest.mark.parametrize("result", [7, [1, 2], {"message": 1}, "x"])
async def test_in_a_chain_the_message_is_the_previous_result(result: Any) -> None:
    async with Mageflow() as app:

        @app.task
        def before() -> Any:
            return result

        @register_task("after")
        @handle_task_callback()
        def after(message: Any) -> Any:
            return [message]

        assert await result_of(app, chain(before, after)) == [result]


async def test_a_chain_keeps_its_message_for_a_function_that_takes_the_result_apart() -> None:
    async with Mageflow() as app:

        @app.task
        def before() -> int:
            return 7

        @register_task("after")
        @handle_task_callback()
        def after(message: Any, result: ReturnValue[int]) -> Any:
            return [message, result]

        assert await result_of(app, chain(before, after), {"m": 1}) == [{"m": 1}, 7]


async def test_bound_arguments_go_to_the_parameters_of_their_names() -> None:
    async with Mageflow() as app:

        @register_task("price")
        @handle_task_callback()
        def price(order: dict[str, Any], tax: int, *, currency: str = "EUR") -> str:
            return f"{order['net'] + tax} {currency}"

        assert await result_of(app, price.sign(tax=2), {"net": 5}) == "7 EUR"
        signed = price.sign(tax=2, currency="USD")
        assert await result_of(app, signed, {"net": 5, "currency": "in the message"}) == "7 USD"


async def test_what_is_bound_on_a_container_goes_to_the_parameters_too() -> None:
    async with Mageflow() as app:

        @register_task("price")
        @handle_task_callback()
        def price(net: int, tax: int = 0) -> int:
            return net + tax

        assert await result_of(app, swarm(price, price.sign(tax=9), tax=2, unknown=1), 5) == [7, 14]


async def test_bound_arguments_without_a_parameter_are_laid_into_the_message() -> None:
    async with Mageflow() as app:

        @register_task("echo")
        @handle_task_callback()
        def echo(message: Any) -> Any:
            return message

        signed = echo.sign(b=2, deep={"y": 2})
        message = {"a": 1, "deep": {"x": 1}}
        assert await result_of(app, signed, message) == {"a": 1, "b": 2, "deep": {"x": 1, "y": 2}}


async def test_nothing_can_be_laid_into_a_message_that_is_no_mapping() -> None:
    async with Mageflow() as app:

        @register_task("echo")
        @handle_task_callback()
        def echo(message: Any) -> Any:
            return message

        with pytest.raises(TaskFailed, match="cannot take the bound b; send a mapping"):
            await result_of(app, echo.sign(b=2), [1])


async def test_a_message_can_be_bound_by_the_name_of_its_parameter() -> None:
    async with Mageflow() as app:

        @register_task("echo")
        @handle_task_callback()
        def echo(message: Any) -> Any:
            return message

        assert await result_of(app, echo.sign(message=[1])) == [1]
        assert await result_of(app, echo.sign(message={"b": 2}), {"a": 1}) == {"a": 1, "b": 2}
        assert await result_of(app, echo.sign(message=4), 5) == 4


async def test_keyword_parameters_take_what_is_bound_and_the_message_stays_whole() -> None:
    async with Mageflow() as app:

        @register_task("echo")
        @handle_task_callback()
        def echo(message: Any, **rest: Any) -> Any:
            return [message, rest]

        assert await result_of(app, echo.sign(b=2), {"a": 1}) == [{"a": 1}, {"b": 2}]
        assert await result_of(app, echo.sign(b=2), 3) == [3, {"b": 2}]


async def test_a_message_is_read_by_its_annotation() -> None:
    class Order(BaseModel):
        amount: int

    async with Mageflow() as app:

        @register_task("order")
        @handle_task_callback()
        async def order(order: Order) -> int:
            return order.amount

        assert await result_of(app, order, {"amount": 3, "more": 1}) == 3
        assert await result_of(app, order.sign(amount=4)) == 4
        with pytest.raises(TaskFailed, match="amount"):
            await result_of(app, order, {"amount": "much"})


async def test_a_graph_lays_results_into_the_message_by_the_names_of_nodes() -> None:
    async with Mageflow() as app:

        @app.task
        def one() -> int:
            return 1

        @register_task("echo")
        @handle_task_callback()
        def echo(message: Any) -> Any:
            return message

        flow = graph({"one": one, "echo": echo}, {"echo": ["one"]})
        assert await result_of(app, flow, {"m": 1}) == {"echo": {"m": 1, "one": 1}}


async def test_what_annotations_ask_for_is_given_as_to_any_task() -> None:
    async with Mageflow() as app:
        told: list[Any] = []

        @app.task
        def fails(message: int) -> None:
            raise ValueError("no")

        @register_task("on-error")
        @handle_task_callback()
        async def on_error(message: Any, error: ErrorValue, ctx: Context) -> None:
            told.append((message, error.message, ctx.task))

        started = await app.start(fails.sign().on_error(on_error), 3)
        await started.settled(timeout=20)
        assert told == [(3, "no", "on-error")]


async def test_with_message_only_the_other_parameters_keep_their_defaults() -> None:
    async with Mageflow() as app:

        @register_task("only")
        @handle_task_callback(expected_params=AcceptParams.MESSAGE)
        async def only(message: Any, limit: int = 3) -> Any:
            return [message, limit]

        assert await result_of(app, only.sign(limit=9), {"a": 1}) == [{"a": 1, "limit": 9}, 3]
        assert await only("direct", limit=1) == ["direct", 1]


async def test_with_all_the_second_parameter_is_the_context() -> None:
    async with Mageflow() as app:

        @register_task("all")
        @handle_task_callback(AcceptParams.ALL)
        async def with_all(message, environment, limit=3):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            assert isinstance(environment, Context)
            return [message, environment.task, limit]

        assert await result_of(app, with_all.sign(limit=9), 1) == [1, "all", 9]


async def test_with_all_parameters_that_are_called_so_get_context_and_signature() -> None:
    async with Mageflow() as app:

        @register_task("all")
        @handle_task_callback(AcceptParams.ALL)
        def with_all(message: Any, limit: int, signature: Any, ctx: Any) -> Any:
            assert isinstance(signature, TaskSignature)
            return [message, limit, signature.task, dict(signature.args), ctx.attempt]

        signed = with_all.sign(limit=9)
        assert await result_of(app, signed, 1) == [1, 9, "all", {"limit": 9}, 1]


async def test_with_all_a_function_may_take_the_message_alone() -> None:
    async with Mageflow() as app:

        @register_task("all")
        @handle_task_callback(AcceptParams.ALL)
        def with_all(message: Any, limit: int = 3) -> Any:
            return [message, limit]

        assert await result_of(app, with_all, 1) == [1, 3]


def test_the_older_names_of_the_choices_mean_the_same() -> None:
    assert AcceptParams["JUST_MESSAGE"] is AcceptParams.MESSAGE
    assert AcceptParams["NO_CTX"] is AcceptParams.ARGUMENTS
    assert len(AcceptParams) == 3


def test_a_function_without_parameters_has_no_place_for_a_message() -> None:
    with pytest.raises(errors.ConfigurationError, match="no parameter for the message"):

        @handle_task_callback()
        def nothing() -> None: ...


async def test_called_natively_the_function_is_what_it_was() -> None:
    @handle_task_callback()
    async def doubled(message: int, times: int = 2) -> int:
        """Its documentation."""
        return message * times

    @handle_task_callback(AcceptParams.ALL)
    def plain(message: int, ctx: Any) -> Any:
        return (message, ctx)

    assert await doubled(3) == 6
    assert await doubled(message=3, times=3) == 9
    assert plain(1, "a context of its own") == (1, "a context of its own")
    assert doubled.__name__ == "doubled"
    assert doubled.__doc__ == "Its documentation."
