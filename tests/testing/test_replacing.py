"""Other bodies for tasks."""

import asyncio
from unittest.mock import Mock

import pytest

from mageflow.testing import TestApp
from mageflow_core import Context, Retry, ReturnValue, TaskSignature, chain
from mageflow_core.errors import RunEnded, UnknownTask


async def fetch(url: str, depth: int = 1) -> str:
    raise AssertionError("the real thing was called")


def count(page: str) -> int:
    raise AssertionError("the real thing was called")


@pytest.fixture
def app(mageflow_app: TestApp) -> TestApp:
    mageflow_app.task(fetch)
    mageflow_app.task(count)
    return mageflow_app


async def run(app: TestApp, task: str, **message: object) -> object:
    return await (await app.start(task, message)).result(timeout=5)


@pytest.mark.parametrize("task", ["fetch", "count"])
async def test_a_value_is_returned(app: TestApp, task: str) -> None:
    app.replace("fetch", "<p>")
    app.replace("count", 7)

    flow = chain("fetch", "count")
    assert await (await app.start(flow, {"url": "/"})).result(timeout=5) == 7


async def test_a_function_is_called_with_the_bound_arguments(app: TestApp) -> None:
    app.replace("fetch", lambda url, depth=0: f"{url} {depth}")

    assert await run(app, "fetch", url="/", other=1) == "/ 0"
    assert await run(app, "fetch", url="/", depth=2) == "/ 2"


@pytest.mark.parametrize("task", ["fetch", "count"])
async def test_an_async_function_can_replace_any(app: TestApp, task: str) -> None:
    async def instead(**_: object) -> int | str:
        await asyncio.sleep(0)
        return 5 if task == "count" else "five"

    app.replace(task, instead)

    assert await run(app, task, url="/", page="") == (5 if task == "count" else "five")


@pytest.mark.parametrize("raised", [KeyError, KeyError("gone")])
async def test_an_exception_is_raised(app: TestApp, raised: object) -> None:
    app.replace("fetch", raised)

    with pytest.raises(RunEnded) as info:
        await run(app, "fetch", url="/")

    assert info.value.error is not None
    assert info.value.error.type == "KeyError"
    assert isinstance(app.attempts[0].exception, KeyError)


async def test_a_list_has_an_outcome_for_each_attempt(app: TestApp) -> None:
    app.replace("fetch", [OSError("down"), TimeoutError, lambda url, depth=1: "up"])

    signature = TaskSignature[str](task="fetch").options(retry=Retry(retries=5, delay=60))
    assert await (await app.start(signature, {"url": "/"})).result(timeout=5) == "up"

    assert [each.outcome for each in app.attempts] == ["failed", "failed", "done"]


async def test_a_list_that_is_used_up_says_so(app: TestApp) -> None:
    app.replace("fetch", ["one"])
    await run(app, "fetch", url="/")

    with pytest.raises(RunEnded, match="given 1 outcomes, and this is attempt number 2"):
        await run(app, "fetch", url="/")


async def test_returns_gives_any_value_as_it_is(app: TestApp) -> None:
    @app.task
    async def names() -> list[str]:
        raise AssertionError("the real thing was called")

    app.replace(names, returns=["a", "b"])

    assert await names.run() == ["a", "b"]
    assert await names.run() == ["a", "b"]


async def test_a_signature_is_gone_on_with(app: TestApp) -> None:
    app.replace("count", TaskSignature[str](task="fetch"))
    app.replace("fetch", "in its place")

    assert await run(app, "count", page="x", url="/") == "in its place"
    assert app.attempts[0].outcome == "continued"


async def test_calls_are_recorded_as_they_were(app: TestApp) -> None:
    @app.task
    async def change(items: list[int]) -> None: ...

    def clear(items: list[int]) -> None:
        items.clear()

    replaced = app.replace(change, clear)
    await change.run({"items": [1, 2]})

    assert replaced.calls == [{"items": [1, 2]}]
    assert repr(replaced) == "<replacement of change, called 1 times>"


async def test_a_mock_is_called(app: TestApp) -> None:
    mock = Mock(return_value="mocked")
    app.replace("fetch", mock)

    assert await run(app, "fetch", url="/") == "mocked"
    mock.assert_called_once_with(url="/")


async def test_a_replacement_ends_with_its_block_and_the_one_before_holds(app: TestApp) -> None:
    app.replace("fetch", "outer")
    with app.replace("fetch", "inner"):
        assert await run(app, "fetch", url="/") == "inner"

    assert await run(app, "fetch", url="/") == "outer"


async def test_undone_the_real_body_runs(app: TestApp) -> None:
    replaced = app.replace("fetch", "instead")
    replaced.undo()
    replaced.undo()

    with pytest.raises(RunEnded, match="the real thing was called"):
        await run(app, "fetch", url="/")


async def test_injected_parameters_reach_the_replacement(app: TestApp) -> None:
    @app.task
    async def judge(page: ReturnValue[str], ctx: Context) -> bool:
        raise AssertionError("the real thing was called")

    seen: list[object] = []

    def instead(page: str, ctx: Context) -> bool:
        seen.append((page, ctx.task))
        return True

    app.replace("fetch", "<p>")
    app.replace(judge, instead)
    await (await app.start(chain(app.registry.find("fetch"), judge), {"url": "/"})).result(
        timeout=5
    )

    assert seen == [("<p>", "judge")]


async def test_what_it_returns_is_validated_as_the_tasks_own_result(app: TestApp) -> None:
    app.replace("count", "not a number")

    with pytest.raises(RunEnded, match="count"):
        await run(app, "count", page="x")

    assert app.attempts[0].error is not None
    assert app.attempts[0].error.cause == "result"


@pytest.mark.parametrize(
    "instead",
    [
        lambda: "",
        lambda address: "",
        lambda url: "",
        lambda url, depth: "",
        lambda url, depth, more: "",
    ],
    ids=["none", "other", "too few", "a default too few", "too many"],
)
def test_a_function_with_wrong_parameters_is_refused(app: TestApp, instead: object) -> None:
    with pytest.raises(TypeError, match=r"replacement of task 'fetch' takes .*url: str, depth"):
        app.replace("fetch", instead)
    with pytest.raises(TypeError, match="replacement of task 'fetch'"):
        app.replace("fetch", ["fine", instead])


async def test_what_is_refused_replaces_nothing(app: TestApp) -> None:
    app.replace("fetch", "before")
    with pytest.raises(TypeError):
        app.replace("fetch", lambda: "")

    assert await run(app, "fetch", url="/") == "before"


def test_one_of_instead_and_returns_is_needed(app: TestApp) -> None:
    with pytest.raises(TypeError, match="instead"):
        app.replace("fetch")
    with pytest.raises(TypeError, match="instead"):
        app.replace("fetch", 1, returns=2)


def test_only_what_is_known_can_be_replaced(app: TestApp) -> None:
    with pytest.raises(UnknownTask, match="did you mean 'fetch'"):
        app.replace("fetcch", 1)


async def test_calling_the_task_itself_still_calls_the_function(app: TestApp) -> None:
    app.replace("count", 1)
    task = app.registry.find("count")
    assert task is not None

    with pytest.raises(AssertionError, match="the real thing"):
        count("x")
