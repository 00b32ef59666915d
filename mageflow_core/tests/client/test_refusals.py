"""What is refused, each with an error that says what to do, and nothing stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mageflow_core import Mageflow, TaskSignature, chain, graph, sign, swarm
from mageflow_core.errors import (
    CyclicGraph,
    DuplicateTask,
    InvalidInput,
    InvalidName,
    MageflowError,
    MessageTooLarge,
    NotASwarm,
    NotSerializable,
    SettingsError,
    SignatureError,
    SignatureTooDeep,
    SignatureTooLarge,
    SwarmClosed,
    TaskFailed,
    UnknownArgument,
    UnknownBackend,
    UnknownDependency,
    UnknownStore,
    UnknownTask,
)


async def refused(
    mf: Mageflow, error: type[MageflowError], match: str, build: Any, message: Any = None
) -> None:
    with pytest.raises(error, match=match):
        await mf.start(build(), {} if message is None else message)
    assert await mf.find() == []


# --- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda add: "ad",
        lambda add: chain(add, "ad"),
        lambda add: swarm(add, chain("ad")),
        lambda add: graph({"n": "ad"}),
        lambda add: add.sign().on_error("ad"),
        lambda add: chain(add).on_success(swarm("ad")),
    ],
    ids=["root", "step", "item", "node", "error callback", "success callback"],
)
async def test_an_unknown_task_is_refused_wherever_it_stands(
    mf: Mageflow, add: Any, build: Any
) -> None:
    match = r"no task is named 'ad'; did you mean 'add'\? Known tasks: add\."
    await refused(mf, UnknownTask, match, lambda: build(add))


async def test_an_unknown_task_like_no_other_is_refused_in_a_whole_sentence(
    mf: Mageflow, add: Any
) -> None:
    await refused(mf, UnknownTask, r"no task is named 'zzz'\. Known tasks: add\.", lambda: "zzz")


async def test_an_argument_of_the_wrong_type_is_refused_when_it_is_bound(
    mf: Mageflow, add: Any
) -> None:
    await refused(mf, InvalidInput, r"'add'.*'?a'?", lambda: add.sign(a="one"))


async def test_an_argument_of_a_wrong_name_is_refused_when_it_is_bound(
    mf: Mageflow, add: Any
) -> None:
    await refused(mf, UnknownArgument, "'c'", lambda: add.sign(c=1))
    await refused(mf, UnknownArgument, "'c'", lambda: sign(add, c=1))


async def test_an_argument_that_is_not_json_is_refused_when_it_is_bound(mf: Mageflow) -> None:
    @mf.task
    async def take(thing: Any) -> Any:
        return thing

    await refused(mf, NotSerializable, "thing", lambda: take.sign(thing=object()))


async def test_a_missing_argument_fails_the_task_and_names_it(mf: Mageflow, add: Any) -> None:
    run = await mf.start(add, {"b": 1})
    with pytest.raises(TaskFailed, match=r"MissingArgument: .*'a'"):
        await run.result(timeout=10)


async def test_a_cyclic_graph_is_refused_and_the_cycle_shown(mf: Mageflow, add: Any) -> None:
    def build() -> Any:
        return graph(
            {"a": add, "b": add, "c": add}, depends_on={"a": ["c"], "b": ["a"], "c": ["b"]}
        )

    await refused(mf, CyclicGraph, "a → c → b → a", build)


async def test_a_node_that_depends_on_itself_is_a_cycle(mf: Mageflow, add: Any) -> None:
    await refused(mf, CyclicGraph, "a → a", lambda: graph({"a": add}, depends_on={"a": ["a"]}))


async def test_an_unknown_dependency_is_refused(mf: Mageflow, add: Any) -> None:
    def build() -> Any:
        return graph({"a": add}, depends_on={"a": ["b"]})

    await refused(mf, UnknownDependency, "'b'", build)


async def test_a_signature_that_is_too_deep_is_refused(mf: Mageflow, add: Any) -> None:
    signature = add.sign()
    for _ in range(32):
        signature = chain(signature)
    await refused(mf, SignatureTooDeep, "deeper than 32 levels", lambda: signature)


async def test_callbacks_count_towards_the_depth(mf: Mageflow, add: Any) -> None:
    signature = add.sign()
    for _ in range(32):
        signature = add.sign().on_success(signature)
    await refused(mf, SignatureTooDeep, "deeper than 32 levels", lambda: signature)


async def test_a_signature_that_is_too_large_is_refused(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_nodes=10)

    @mf.task
    async def work() -> None: ...

    assert await (await mf.start(swarm([work] * 9))).result(timeout=10) == [None] * 9
    with pytest.raises(SignatureTooLarge, match="max_nodes = 10"):
        await mf.start(swarm([work] * 10))
    assert len(await mf.find()) == 1


async def test_a_message_that_is_too_large_is_refused(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_value_bytes=50)

    @mf.task
    async def take(text: str) -> str:
        return text

    for text in ("x" * 50, "é" * 25):
        await refused(mf, MessageTooLarge, "max_value_bytes is 50", lambda: take, {"text": text})


@pytest.mark.parametrize(
    "build",
    [
        lambda take, value: take.sign(text=value),
        lambda take, value: chain(take, take.sign(text=[value])),
        lambda take, value: swarm([take]).bind(text={"deep": value}),
        lambda take, value: graph({"a": take}).on_error(take.sign(text=value)),
    ],
    ids=["root", "step", "swarm", "callback"],
)
async def test_an_argument_that_is_too_large_is_refused_wherever_it_is_bound(
    make_app: Any, build: Any
) -> None:
    mf: Mageflow = await make_app(max_value_bytes=50)

    @mf.task
    async def take(text: Any) -> None: ...

    for value in ("x" * 49, "é" * 25, "\x00" * 9, 10**50, [1] * 25):
        match = r"argument 'text' of '\w+' has \d+ bytes; max_value_bytes is 50: store it elsewhere"
        await refused(mf, MessageTooLarge, match, lambda: build(take, value), {"text": 1})  # noqa: B023


@pytest.mark.parametrize("value", [["\ud83d"], {"a": {1}}, [float("nan")], {1: "a" * 20}])
async def test_of_an_argument_that_is_no_json_nothing_is_said_of_its_size(
    make_app: Any, value: Any
) -> None:
    mf: Mageflow = await make_app(max_value_bytes=50)

    @mf.task
    async def take(text: Any) -> None: ...

    flow: Any = chain(TaskSignature(task="take", args={"text": value}))
    assert mf.check(flow) is flow  # a store refuses it with the path of what is wrong


async def test_an_argument_of_just_the_size_is_taken(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_value_bytes=50)

    @mf.task
    async def take(value: Any) -> Any:
        return value

    for value in ("x" * 48, "é" * 24, "\x00" * 8, 10**49, [1] * 24, None, True, 0.1):
        assert await take.run(value=value) == value


async def test_an_item_that_is_too_large_is_not_added(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_value_bytes=50)

    @mf.task
    async def take(text: str) -> None: ...

    run = await mf.start(swarm([], open=True))
    with pytest.raises(MessageTooLarge, match="argument 'text' of 'take'"):
        await run.add(take.sign(text="y"), take.sign(text="x" * 50))
    assert (await run.view()).children == 0


async def test_a_message_that_is_too_large_does_not_start_a_stored_run(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_value_bytes=50)

    @mf.task
    async def take(text: str) -> str:
        return text

    run = await mf.store(take)
    with pytest.raises(MessageTooLarge, match="max_value_bytes is 50"):
        await run.start({"text": "x" * 50})
    assert await run.status() == "pending"
    await run.start({"text": "y"})
    assert await run.result(timeout=10) == "y"


@pytest.mark.parametrize("message", [{1: "a"}, {"a": float("nan")}, {"a": b"x"}, {"a": {1, 2}}])
async def test_a_message_that_is_not_json_is_refused(mf: Mageflow, add: Any, message: Any) -> None:
    await refused(mf, NotSerializable, "message", lambda: add, message)


@pytest.mark.parametrize("thing", [3, None, object(), lambda: None])
async def test_what_is_no_signature_is_refused(mf: Mageflow, thing: Any) -> None:
    await refused(mf, SignatureError, "is not a signature: give a task", lambda: thing)


async def test_a_chain_without_steps_and_a_graph_without_nodes_are_refused(mf: Mageflow) -> None:
    await refused(mf, SignatureError, "a chain has no steps", lambda: chain([]))
    await refused(mf, SignatureError, "a graph has no nodes", lambda: graph({}))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_concurrency": 0}, "max_concurrency=0"),
        ({"max_tasks": 2}, "need open=True"),
        ({"open": True, "max_tasks": 0}, "max_tasks=0"),
        ({"interrupt_running": True}, "needs stop_after_n_failures"),
        ({"idle_timeout": -1, "open": True}, "idle_timeout=-1"),
    ],
)
async def test_options_of_a_swarm_that_make_no_sense_are_refused(
    mf: Mageflow, add: Any, options: dict[str, Any], match: str
) -> None:
    await refused(mf, SignatureError, match, lambda: swarm([add], **options))


async def test_an_unknown_option_is_refused_and_the_known_ones_listed(
    mf: Mageflow, add: Any
) -> None:
    match = "unknown option retrys: known are .*retries"
    await refused(mf, SignatureError, match, lambda: add.sign().options(retrys=1))
    with pytest.raises(SignatureError, match=match):
        mf.task(retrys=1)


async def test_a_backend_that_the_app_has_not_is_refused(mf: Mageflow, add: Any) -> None:
    def build() -> Any:
        return add.sign().options(backend="celery")

    await refused(mf, UnknownBackend, "'celery'", build)


# --- swarms ---------------------------------------------------------------------------------------


async def test_adding_to_a_closed_swarm_is_refused(mf: Mageflow, add: Any) -> None:
    run = await mf.start(swarm([add], open=True), {"a": 1})
    await run.close()
    await run.wait(timeout=10)
    with pytest.raises(SwarmClosed, match="takes no more items"):
        await run.add(add)
    assert await run.result(timeout=10) == [2]


async def test_adding_to_a_swarm_that_was_not_made_open_is_refused(mf: Mageflow, add: Any) -> None:
    run = await mf.start(swarm([add.sign().options(delay=1_000)]), {"a": 1})
    with pytest.raises(SwarmClosed, match="make it with open=True"):
        await run.add(add)
    await run.cancel()


async def test_adding_to_what_is_no_swarm_is_refused(mf: Mageflow, add: Any) -> None:
    run = await mf.start(chain(add.sign().options(delay=1_000)), {"a": 1})
    with pytest.raises(NotASwarm, match="only a swarm takes items"):
        await run.add(add)
    with pytest.raises(NotASwarm):
        await run.close()
    await run.cancel()


async def test_items_that_cannot_be_stored_are_refused_and_none_is_added(
    mf: Mageflow, add: Any
) -> None:
    run = await mf.start(swarm(open=True), {"a": 1})
    with pytest.raises(UnknownTask):
        await run.add(add, "unheard")
    deep = add.sign()
    for _ in range(31):
        deep = chain(deep)
    with pytest.raises(SignatureTooDeep):
        await run.add(deep)
    await run.close()
    assert await run.result(timeout=10) == []


# --- tasks and settings --------------------------------------------------------------------------


async def test_two_tasks_of_one_name_are_refused_with_both_places(mf: Mageflow, add: Any) -> None:
    with pytest.raises(DuplicateTask, match=r"two tasks are named 'add'.*test_refusals\.py"):

        @mf.task(name="add")
        async def other() -> None: ...

    with pytest.raises(DuplicateTask, match="'add'"):

        @mf.task(aliases=("add",))
        async def third() -> None: ...

    assert mf.registry.find("third") is None


@pytest.mark.parametrize("name", ["Add", "with space", "-begins", "x" * 129, "ümlaut", "a/b"])
async def test_a_name_outside_the_pattern_is_refused(mf: Mageflow, name: str) -> None:
    with pytest.raises(InvalidName, match="outside"):

        @mf.task(name=name)
        async def task() -> None: ...

    with pytest.raises(InvalidName, match="outside"):
        await mf.start(name)
    assert await mf.find() == []


def test_the_name_of_a_function_becomes_portable() -> None:
    mf = Mageflow()

    @mf.task
    async def _Load_Page() -> None: ...  # noqa: N802

    assert _Load_Page.name == "load_page"
    with pytest.raises(InvalidName):
        mf.task(lambda: None)


async def test_an_unknown_backend_says_what_is_installed() -> None:
    with pytest.raises(UnknownBackend, match="asyncio"):
        async with Mageflow(backend="nothing-like-it"):
            pass


async def test_a_backend_of_ours_that_is_not_installed_says_how_to_get_it() -> None:
    from mageflow_core.loading import BACKENDS, OFFERED, installed

    missing = [name for name in OFFERED[BACKENDS] if name not in installed(BACKENDS)]
    for name in missing[:1]:
        with pytest.raises(UnknownBackend, match=f"pip install .*{name}"):
            async with Mageflow(backend=name):
                pass


async def test_an_unknown_store_says_what_is_installed() -> None:
    with pytest.raises(UnknownStore, match="memory"):
        async with Mageflow(store="nothing://here"):
            pass


def test_a_settings_file_with_an_unknown_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mageflow.toml").write_text("slotz = 3\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"unknown setting 'slotz' \(did you mean 'slots'\?\)"):
        Mageflow()


def test_settings_and_named_settings_exclude_each_other() -> None:
    settings = Mageflow().settings
    with pytest.raises(SettingsError, match="give settings= or slots"):
        Mageflow(settings=settings, slots=3)


async def test_an_app_that_could_not_be_opened_can_be_opened_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a backend that cannot be opened, once
    from mageflow_core.backends.local import AsyncioBackend
    from mageflow_core.errors import BackendUnavailable
    from mageflow_core.stores.memory import MemoryStore

    closed: list[Any] = []
    opens = AsyncioBackend.open
    closes = MemoryStore.close

    async def refuse(self: Any, role: Any) -> None:
        raise BackendUnavailable("not there yet")

    async def close(self: Any) -> None:
        closed.append(self)
        await closes(self)

    monkeypatch.setattr(AsyncioBackend, "open", refuse)
    monkeypatch.setattr(MemoryStore, "close", close)
    mf = Mageflow()
    with pytest.raises(BackendUnavailable, match="not there yet"):
        await mf.start("x")
    # Then what was open by then is closed
    assert len(closed) == 1
    # And it can be opened when the backend is there
    monkeypatch.setattr(AsyncioBackend, "open", opens)
    async with mf:
        assert await mf.find() == []
