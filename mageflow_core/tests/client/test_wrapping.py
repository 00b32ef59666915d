"""Apps around an engine's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from mageflow_core import Mageflow, TaskSignature, chain, sign
from mageflow_core.backends import Host, TaskSpec
from mageflow_core.backends.local import AsyncioBackend
from mageflow_core.client import wrapping
from mageflow_core.errors import (
    ConfigurationError,
    SettingsError,
    SignatureError,
    UnknownBackend,
    UnknownTask,
)
from mageflow_core.loading import Installed


class Engine:
    """Somebody's task queue: functions by names of its own."""

    def __init__(self) -> None:
        self.tasks: dict[str, Callable[..., Any]] = {}

    def task(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        self.tasks[f"Shop:{fn.__name__}"] = fn
        return fn

    def lanes(self) -> list[str]:
        return ["slow", "fast"]


class Wrapping(AsyncioBackend):
    name = "engine"

    def __init__(self, engine: Engine | None = None) -> None:
        super().__init__()
        self.engine = engine if engine is not None else Engine()
        self.hosts: list[Host] = []

    @classmethod
    def wrap(cls, native: Any, settings: Any) -> Self | None:
        return cls(native) if isinstance(native, Engine) else None

    @property
    def native(self) -> Engine:
        return self.engine

    def host(self, host: Host) -> None:
        self.hosts.append(host)

    def natives(self) -> Iterable[TaskSpec]:
        return [self._spec(name) for name in self.engine.tasks]

    def decorator(self, options: Mapping[str, Any]) -> Callable[..., Any] | None:
        return self.engine.task if options.keys() <= {"name", "lane"} else None

    def adopt(self, native: Any) -> TaskSpec | None:
        names = [name for name, fn in self.engine.tasks.items() if fn is native]
        return self._spec(names[0]) if names else None

    def _spec(self, name: str) -> TaskSpec:
        portable = name.lower().replace(":", ".")
        fn = self.engine.tasks[name]
        return TaskSpec(name=portable, fn=fn, is_async=False, queue="theirs", timeout=9)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        wrapping, "load_backend", {"engine": Wrapping, "asyncio": AsyncioBackend}.get
    )
    found = Installed("mageflow-engine", "1", "engine:Wrapping")
    monkeypatch.setattr(wrapping, "installed", lambda _: {"asyncio": found, "engine": found})


@pytest.fixture
def engine(installed: None) -> Engine:
    return Engine()


@pytest.fixture
async def wrapped(engine: Engine) -> AsyncIterator[Mageflow]:
    async with Mageflow(engine, warn_unclosed=False) as mf:
        yield mf


def double(n: int) -> int:
    return 2 * n


async def result_of(mf: Mageflow, flow: Any, message: Any) -> Any:
    return await (await mf.start(flow, message)).result(timeout=10)


async def test_native_tasks_are_signed_by_name_and_as_they_are(
    engine: Engine, wrapped: Mageflow
) -> None:
    # Given a task that was there natively before it was asked for
    native: Any = engine.task(double)
    # Then it stands in flows under its portable name, and as the object that it is
    flow = chain("shop.double", native, sign(native))
    assert await result_of(wrapped, flow, {"n": 1}) == 8
    # And it is what it was
    assert double(4) == 8


async def test_a_task_of_the_app_stands_before_a_native_one_of_the_same_name(
    engine: Engine, wrapped: Mageflow
) -> None:
    @wrapped.task(name="shop.double")
    def triple(n: int) -> int:
        return 3 * n

    engine.task(double)
    assert await result_of(wrapped, "shop.double", {"n": 2}) == 6
    assert await result_of(wrapped, double, {"n": 2}) == 6, "the name says which it is"


async def test_what_no_client_has_is_refused(engine: Engine, wrapped: Mageflow) -> None:
    native: Any = double
    with pytest.raises(UnknownTask, match=r"'shop\.double'"):
        await wrapped.start("shop.double")
    with pytest.raises(SignatureError, match="is not a signature"):
        chain(native)


async def test_the_backend_is_the_one_that_wraps_the_client_and_lasts(
    engine: Engine, installed: None
) -> None:
    # Given an app around a client, opened twice
    mf = Mageflow(engine, warn_unclosed=False, backend="asyncio")
    engine.task(double)
    for _ in range(2):
        async with mf:
            assert await result_of(mf, "shop.double", {"n": 1}) == 2
    # Then it was the same client each time
    assert mf.native is engine
    assert mf.settings.backend == "engine"


def test_an_app_by_settings_gives_the_client_that_its_backend_works_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Wrapping, "from_settings", classmethod(lambda cls, _: cls()))
    monkeypatch.setattr("mageflow_core.client.backends.load_backend", lambda _: Wrapping)
    mf = Mageflow(backend="engine", warn_unclosed=False)
    assert isinstance(mf.native, Engine)
    assert mf.native is mf.native


def test_the_embedded_backend_has_no_client() -> None:
    assert Mageflow(warn_unclosed=False).native is None


def test_a_client_that_nobody_wraps_is_refused_with_what_is_installed(installed: None) -> None:
    with pytest.raises(ConfigurationError, match=r"object is no client .*: asyncio, engine$"):
        Mageflow(object())


def test_a_client_whose_adapter_is_not_installed_names_it(installed: None) -> None:
    broker = type("Broker", (), {"__module__": "taskiq_redis.brokers"})()
    with pytest.raises(ConfigurationError, match=r"pip install 'mageflow\[taskiq\]'"):
        Mageflow(broker)


def test_an_adapter_that_does_not_load_is_told_of_where_no_other_takes_the_client(
    installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Any:
        raise ImportError(f"no engine for {name}")

    monkeypatch.setattr(wrapping, "load_backend", broken)
    with pytest.raises(ConfigurationError, match="engine of mageflow-engine does not load: Import"):
        Mageflow(object())


# --- processes that the engine's own command has started ------------------------------------------
async def test_a_host_works_until_it_ends(engine: Engine, installed: None, tmp_path: Path) -> None:
    mf = Mageflow(engine, warn_unclosed=False)
    backend: Any = mf.make_backend("engine")
    (host,) = backend.hosts
    with pytest.raises(SettingsError, match="no other process sees"):
        await host.begin()
    assert not mf.serves
    await host.end()
    await host.end()


# --- several backends -----------------------------------------------------------------------------
class Second(Wrapping):
    name = "second"


async def test_each_task_of_an_app_with_two_backends_goes_to_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given an app on two backends, with tasks bound to each
    sent: dict[str, list[str]] = {"engine": [], "second": []}

    def load(name: str) -> Any:
        kind = {"engine": Wrapping, "second": Second}[name]

        class Told(kind):  # type: ignore[misc, valid-type]
            @classmethod
            def from_settings(cls, settings: Any) -> Any:
                return cls()

            async def submit_many(self, jobs: Any) -> Any:
                sent[name] += [job.task for job in jobs]
                return await super().submit_many(jobs)

        return Told

    monkeypatch.setattr("mageflow_core.client.backends.load_backend", load)
    mf = Mageflow(backend="engine, second", warn_unclosed=False)

    @mf.task
    def here(n: int) -> dict[str, int]:
        return {"n": n + 1}

    @mf.task(backend="second")
    def there(n: int) -> dict[str, int]:
        return {"n": 10 * n}

    # When a flow goes over both
    async with mf:
        flow = chain(here, there, here.sign().options(backend="second"), here)
        assert await result_of(mf, flow, {"n": 1}) == {"n": 22}
        with pytest.raises(UnknownBackend, match="this app has engine, second"):
            await mf.start(here.sign().options(backend="third"), {"n": 1})
    # Then each has had what is its
    assert sent == {"engine": ["here", "here"], "second": ["there", "here"]}
    assert (mf.native, mf.native_of("second")) != (None, None)
    with pytest.raises(UnknownBackend, match="no backend 'third': it has engine, second"):
        mf.native_of("third")


def test_clients_make_the_backends_unless_the_settings_name_theirs_and_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Mageflow(engine, warn_unclosed=False).settings.backends == ("engine",)
    both = Mageflow(engine, backend="second,engine", warn_unclosed=False)
    assert both.settings.backends == ("second", "engine")
    with pytest.raises(ConfigurationError, match="two clients of engine were given"):
        Mageflow(engine, Engine())


async def test_native_tasks_run_where_they_are_native(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.task(double)
    mf = Mageflow(engine, backend="asyncio,engine", warn_unclosed=False)
    task = mf.adopt(double)
    assert task is not None
    assert (task.options.backend, task.options.queue) == ("engine", "theirs")
    assert task.options.timeout == 9


async def test_the_settings_move_a_task_and_a_signature_has_the_last_word(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a native task, and one of the app's own, both of which the settings have elsewhere
    engine.task(double)
    mf = Mageflow(
        engine,
        backend="engine,asyncio",
        moved_tasks={"shop.double": "asyncio", "add": "asyncio", "gone": "asyncio"},
        warn_unclosed=False,
    )

    @mf.task(queue="theirs")
    def add(n: int) -> int:
        return n + 1

    # When they are in a flow
    native: TaskSignature[Any] = TaskSignature(task="shop.double")
    strange: TaskSignature[Any] = TaskSignature(task="not.here")
    flow = chain(native, add, add.sign().options(backend="engine"), strange)
    checked: Any = mf.check(flow)
    # Then they go there, without the queues of the engine that they are from
    places = [(step.opts.backend, step.opts.queue) for step in checked.steps]
    assert places == [("asyncio", None), ("asyncio", None), ("engine", "theirs"), (None, None)]
    # And a worker says which task it does not have
    mf.serves = True
    async with mf:
        assert "moved_tasks names gone, which this app does not have" in caplog.text


def test_a_task_cannot_be_moved_to_a_backend_that_the_app_has_not() -> None:
    with pytest.raises(SettingsError, match="has add on 'engine', which this app has not"):
        Mageflow(backend="asyncio", moved_tasks={"add": "engine"})


@pytest.mark.parametrize("backend", ["", " ,taskiq", "taskiq,taskiq"])
def test_a_list_of_backends_names_each_once(backend: str) -> None:
    with pytest.raises(SettingsError, match="names of backends, each once"):
        Mageflow(backend=backend)


# --- in place of the client -----------------------------------------------------------------------
async def test_options_of_the_clients_own_make_a_native_task(
    engine: Engine, wrapped: Mageflow
) -> None:
    @wrapped.task(lane="slow")
    def halve(n: int) -> int:
        return n // 2

    assert engine.tasks == {"Shop:halve": halve}
    assert await result_of(wrapped, "shop.halve", {"n": 4}) == 2


def test_options_that_neither_knows_are_refused(engine: Engine, installed: None) -> None:
    mf = Mageflow(engine, warn_unclosed=False)
    with pytest.raises(SignatureError, match="unknown option colour"):
        mf.task(lane="slow", colour="red")(double)
    with pytest.raises(SignatureError, match="unknown option lane"):
        mf.task(lane="slow", aliases=("twice",))(double)
    assert not engine.tasks


def test_what_only_the_client_has_is_had_of_the_app(engine: Engine, installed: None) -> None:
    app: Any = Mageflow(engine, warn_unclosed=False)
    assert app.lanes() == ["slow", "fast"]
    assert app.tasks is engine.tasks
    assert not hasattr(app, "nonsense")
    assert not hasattr(app, "_private")
    alone: Any = Mageflow(warn_unclosed=False)
    with pytest.raises(AttributeError, match="'Mageflow' object has no attribute 'lanes'"):
        alone.lanes()
