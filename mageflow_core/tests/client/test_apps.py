"""Opening and closing apps: event loops, processes, contexts, and which app is meant."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mageflow_core import Mageflow, chain, sign, swarm
from mageflow_core.client import ambient
from mageflow_core.errors import AmbiguousApp, RunNotFound, UnknownTask, WrongEventLoop
from mageflow_core.signatures.ambient import current_app


@pytest.fixture
def no_apps() -> Iterator[None]:
    """As in a process that has made no app yet."""
    made, default = ambient._made, list(ambient._default)
    ambient._made = type(made)()
    ambient._default.clear()
    yield
    for app in ambient._default:
        ambient.closed(app)
    ambient._made = made
    ambient._default[:] = default


def run_script(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code), "utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )


# --- opening --------------------------------------------------------------------------------------


async def test_an_app_opens_at_its_first_use() -> None:
    mf = Mageflow()

    @mf.task
    async def work() -> int:
        return 1

    before: Any = mf._site
    assert before is None
    assert await work.run() == 1
    assert mf._site is not None
    await mf.close()


async def test_many_first_uses_at_once_open_it_once() -> None:
    mf = Mageflow()

    @mf.task
    async def work() -> int:
        return 1

    runs = await asyncio.gather(*(work.start() for _ in range(20)))
    assert await asyncio.gather(*(run.result(timeout=10) for run in runs)) == [1] * 20
    assert len(await mf.find()) == 20
    await mf.close()


async def test_an_app_can_be_opened_again_and_the_memory_store_is_empty_then() -> None:
    mf = Mageflow()

    @mf.task
    async def work() -> int:
        return 1

    async with mf:
        run = await work.start()
        await run.wait(timeout=10)
    async with mf:
        assert await mf.find() == []
        with pytest.raises(RunNotFound, match="memory store"):
            await run.status()
        assert await work.run() == 1


async def test_nested_contexts_close_with_the_outermost() -> None:
    mf = Mageflow()
    async with mf:
        async with mf:
            site = mf._site
        assert mf._site is site
    assert mf._site is None


async def test_tasks_may_enter_and_leave_in_any_order() -> None:
    # Given two tasks that enter the same app, and leave in the order in which they came
    mf = Mageflow()

    @mf.task
    async def work() -> int:
        return 1

    entered = [asyncio.Event(), asyncio.Event()]
    leave = [asyncio.Event(), asyncio.Event()]

    async def use(number: int) -> Any:
        async with mf:
            entered[number].set()
            await leave[number].wait()
            return current_app()

    first, second = asyncio.create_task(use(0)), asyncio.create_task(use(1))
    for event in entered:
        await event.wait()
    # Then the app is open until the last one has left
    leave[0].set()
    assert await first is mf
    assert await work.run() == 1
    leave[1].set()
    assert await second is mf
    assert mf._site is None


async def test_an_app_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    mf = Mageflow()
    loop = asyncio.get_running_loop()
    await loop.create_task(mf.__aenter__(), context=contextvars.Context())
    await loop.create_task(mf.__aexit__(None, None, None), context=contextvars.Context())
    assert mf._site is None


async def test_closing_twice_is_no_error() -> None:
    mf = Mageflow()
    await mf.close()
    async with mf:
        await mf.close()


# --- event loops ----------------------------------------------------------------------------------


def test_an_app_that_is_open_in_one_loop_cannot_be_used_in_another() -> None:
    mf = Mageflow()

    async def first() -> None:
        async with mf:
            with pytest.raises(WrongEventLoop, match="one Mageflow per event loop"):
                await asyncio.to_thread(asyncio.run, mf.find())

    asyncio.run(first())


def test_an_app_that_is_open_in_one_loop_cannot_be_closed_in_another() -> None:
    mf = Mageflow()

    async def first() -> None:
        async with mf:
            with pytest.raises(WrongEventLoop):
                await asyncio.to_thread(asyncio.run, mf.close())
            assert await mf.find() == []

    asyncio.run(first())


def test_after_its_loop_is_closed_an_app_opens_in_the_next_one() -> None:
    # Given an app that was used in a loop and never closed
    mf = Mageflow()

    @mf.task
    def work() -> int:
        return 1

    assert asyncio.run(work.run()) == 1
    site: Any = mf._site
    # When it is used in the next one
    assert asyncio.run(work.run()) == 1
    # Then it has opened anew there, and the threads of before are gone
    assert mf._site is not site
    assert site.threads.close(10) == []
    asyncio.run(mf.close())


# --- which app ------------------------------------------------------------------------------------


async def test_inside_its_context_an_app_is_the_one_that_is_meant() -> None:
    first, second = Mageflow(), Mageflow()

    @second.task
    async def only_here() -> int:
        return 2

    async with first, second:
        assert current_app() is second
        assert await sign("only_here").run(timeout=10) == 2
        assert await chain("only_here").run(timeout=10) == 2
        async with first:
            with pytest.raises(UnknownTask):
                await sign("only_here").start()
        assert current_app() is second


@pytest.mark.usefixtures("no_apps")
async def test_the_only_app_of_a_process_is_meant_everywhere() -> None:
    mf = Mageflow()

    @mf.task
    async def work() -> int:
        return 1

    assert current_app() is mf
    assert await swarm(work, work).run(timeout=10) == [1, 1]
    await mf.close()


@pytest.mark.usefixtures("no_apps")
def test_several_apps_outside_of_any_context_are_ambiguous() -> None:
    apps = [Mageflow(), Mageflow()]
    with pytest.raises(AmbiguousApp, match="2 apps exist here: call inside"):
        current_app()
    del apps[1]
    gc.collect()
    assert current_app() is apps[0]


@pytest.mark.usefixtures("no_apps")
async def test_without_any_app_a_default_one_is_made_and_kept() -> None:
    app: Any = current_app()
    assert isinstance(app, Mageflow)
    gc.collect()
    assert current_app() is app

    @app.task
    async def work() -> int:
        return 1

    assert await chain(work).run(timeout=10) == 1
    await app.close()


# --- the end of the process -----------------------------------------------------------------------


def test_an_app_that_was_never_closed_warns_at_exit_and_names_what_ran(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import asyncio
        from mageflow_core import Mageflow

        mf = Mageflow()

        @mf.task
        async def forever():
            await asyncio.Event().wait()

        async def main():
            async with mf:
                pass
            run = await forever.start()
            while await run.status() != "active":  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
            print(run.key)
            import os, sys
            sys.stdout.flush()
            import atexit
            atexit._run_exitfuncs()
            os._exit(0)

        asyncio.run(main())
        """,
    )
    key = done.stdout.strip()
    assert done.stderr == (
        f"<Mageflow 'mageflow' on asyncio> was never closed; running at exit: {key}. "
        "Use `async with mf:`.\n"
    )


@pytest.mark.parametrize("how", ["closed", "told not to"])
def test_an_app_that_was_closed_or_told_not_to_warns_of_nothing(tmp_path: Path, how: str) -> None:
    close = "await mf.close()" if how == "closed" else "pass"
    done = run_script(
        tmp_path,
        f"""
        import asyncio
        from mageflow_core import Mageflow

        mf = Mageflow(warn_unclosed={how == "closed"})

        async def main():
            await mf.find()
            {close}

        asyncio.run(main())
        """,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_script_without_a_loop_runs_as_it_is_written(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        from mageflow_core import Mageflow, chain

        mf = Mageflow()

        @mf.task
        def add(a: int, b: int = 1) -> int:
            return a + b

        with mf:
            run = chain(add, add.sign(b=5)).start_sync({"a": 1})
            print(run.result_sync(timeout=10), run.status_sync())
        """,
    )
    assert (done.stdout, done.stderr) == ("7 done\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_app_that_is_open_is_dropped_after_a_fork(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import os
        import warnings
        from mageflow_core import Mageflow

        mf = Mageflow()

        @mf.task
        def add(a: int) -> int:
            return a + 1

        with mf:
            print(add.run_sync({"a": 1}), flush=True)
            warnings.simplefilter("ignore")  # Python's own, of forking beside threads
            child = os.fork()
            if child == 0:
                with mf:
                    print(add.run_sync({"a": 10}), len(mf.run_sync(mf.find())), flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print(add.run_sync({"a": 100}), len(mf.run_sync(mf.find())))
        """,
    )
    assert (done.stdout, done.stderr) == ("2\n11 1\n101 2\n", "")


def test_threads_of_an_app_do_not_keep_the_process_alive(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import asyncio, threading
        from mageflow_core import Mageflow

        mf = Mageflow(warn_unclosed=False)
        began = threading.Event()

        @mf.task
        def forever():
            began.set()
            threading.Event().wait()

        async def main():
            await forever.start()
            await asyncio.to_thread(began.wait)

        asyncio.run(main())
        """,
    )
    assert (done.stderr, done.returncode) == ("sync bodies still run in threads mageflow-0\n", 0)


def test_the_repr_of_an_app_shows_no_secret() -> None:
    mf = Mageflow(namespace="shop")
    assert repr(mf) == "<Mageflow 'shop' on asyncio>"


async def test_leaving_by_an_error_stops_bodies_at_once() -> None:
    # Given
    app = Mageflow(shutdown_grace=3600)
    begun, seen = asyncio.Event(), asyncio.Event()

    @app.task
    async def hold() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.set()

    # When
    async def work() -> None:
        async with app:
            await hold.start()
            await begun.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()

    # Then
    assert seen.is_set()


def test_the_first_app_takes_over_what_was_registered_before_it() -> None:
    program = """
        from mageflow_core import Mageflow, chain
        from mageflow_core.signatures.ambient import current_app

        @current_app().task
        def early(x: int) -> int:
            return x + 1

        mf = Mageflow()

        @mf.task
        def late(x: int) -> int:
            return 2 * x

        with mf:
            assert chain(early, late).run_sync({"x": 1}) == 4
            assert early.run_sync({"x": 1}) == 2
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
