"""The plugin in a project of its own: plain pytest, pytest-asyncio, anyio."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
FLOWS = """
from mageflow import Mageflow

mf = Mageflow(backend="not-installed", max_crashes=7, namespace="shop")

@mf.task
async def add(a: int, b: int = 1) -> int:
    return a + b

@mf.task
def double(x: int) -> int:
    return 2 * x
"""
STRICT = "filterwarnings =\n    error"
AUTO, ASYNC_STRICT = "asyncio_mode = auto", "asyncio_mode = strict"
NEITHER = ["-p", "no:asyncio", "-p", "no:anyio"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with flows of its own and warnings as errors."""
    pytester.makepyfile(flows=FLOWS)
    return pytester


def run(
    project: pytest.Pytester, test: str, *arguments: str, ini: str = "", app: bool = True
) -> pytest.RunResult:
    named = "mageflow_app = flows:mf" if app else ""
    if "no:asyncio" not in arguments:  # which would not know it
        ini += "\nasyncio_default_fixture_loop_scope = function"
    project.makeini(f"[pytest]\n{STRICT}\npythonpath = .\n{named}\n{ini}")
    project.makepyfile(test_it=test)
    return project.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


HOUR_LATER = """
    from mageflow import chain
    from flows import add, double

    {mark}
    async def test_it(mageflow_app):
        began = mageflow_app.clock.now()
        flow = chain(add.sign().options(delay=3600), double)
        assert await flow.run({{"a": 1}}, timeout=5) == 4
        assert mageflow_app.clock.now() == began + 3600
        mageflow_app.assert_chain([add, double])
"""


def test_it_works_with_pytest_asyncio_in_auto_mode(project: pytest.Pytester) -> None:
    ran = run(project, HOUR_LATER.format(mark=""), "-p", "no:anyio", ini=AUTO)
    ran.assert_outcomes(passed=1)


def test_it_works_with_pytest_asyncio_in_strict_mode(project: pytest.Pytester) -> None:
    mark = "import pytest\n    @pytest.mark.asyncio"
    ran = run(project, HOUR_LATER.format(mark=mark), ini=ASYNC_STRICT)
    ran.assert_outcomes(passed=1)


def test_it_works_with_a_loop_of_the_whole_session(project: pytest.Pytester) -> None:
    test = HOUR_LATER.format(mark="") + "\n    test_again = test_it\n"
    ran = run(project, test, ini=f"{AUTO}\nasyncio_default_test_loop_scope = session")
    ran.assert_outcomes(passed=2)


def test_it_works_with_anyio(project: pytest.Pytester) -> None:
    mark = "import pytest\n    @pytest.mark.anyio"
    test = HOUR_LATER.format(mark=mark) + (
        "\n    @pytest.fixture\n    def anyio_backend():\n        return 'asyncio'\n"
    )
    ran = run(project, test, "-p", "no:asyncio")
    ran.assert_outcomes(passed=1)


def test_it_works_with_anyio_and_async_fixtures(project: pytest.Pytester) -> None:
    test = """
        import pytest
        from flows import add

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def run(mageflow_app):
            run = await add.start({"a": 1})
            yield run
            assert await run.status() == "done"

        @pytest.mark.anyio
        async def test_it(run):
            assert await run.result(timeout=5) == 2
    """
    ran = run(project, test, "-p", "no:asyncio")
    ran.assert_outcomes(passed=1)


def test_it_works_with_asyncio_run_in_plain_tests(project: pytest.Pytester) -> None:
    test = """
        import asyncio
        from flows import add

        async def main():
            return await add.run({"a": 1})

        def test_it(mageflow_app):
            assert asyncio.run(main()) == 2
            mageflow_app.assert_dispatched(add, a=1, times=1)

        def test_again(mageflow_app):
            assert asyncio.run(main()) == 2
            assert asyncio.run(main()) == 2
            mageflow_app.assert_dispatched(add, a=1, times=2)
    """
    run(project, test, *NEITHER).assert_outcomes(passed=2)


def test_it_works_in_sync_tests(project: pytest.Pytester) -> None:
    test = """
        import threading
        from mageflow import chain
        from flows import add, double

        def test_it(mageflow_app):
            run = chain(add, double).start_sync({"a": 1})
            assert run.result_sync(timeout=5) == 4

        def test_no_thread_is_left():
            assert [t.name for t in threading.enumerate() if "loop" in t.name] == []
    """
    run(project, test, *NEITHER).assert_outcomes(passed=2)


def test_what_still_runs_at_the_end_is_stopped_without_a_word(project: pytest.Pytester) -> None:
    test = """
        import asyncio, gc, pathlib

        async def test_it(mageflow_app):
            began = asyncio.Event()

            @mageflow_app.task
            async def endless():
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    pathlib.Path("ended.txt").touch()

            @mageflow_app.task
            async def dead():
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)

            mageflow_app.crash(dead, at="during")
            await dead.start()
            await endless.start()
            await endless.sign().options(delay=100).start()
            await began.wait()
            await asyncio.sleep(0)

        def test_then():
            gc.collect()
            assert pathlib.Path("ended.txt").exists()
    """
    ran = run(project, test, ini=AUTO)
    ran.assert_outcomes(passed=2)
    assert "never" not in ran.stderr.str()
    assert "destroyed" not in ran.stderr.str() + ran.stdout.str()


def test_the_marker_names_the_app_and_settings(project: pytest.Pytester) -> None:
    test = """
        import pytest
        from flows import mf

        pytestmark = pytest.mark.mageflow(max_crashes=2)

        @pytest.mark.mageflow(app="flows:mf", default_timeout=5)
        def test_by_name(mageflow_app):
            assert mageflow_app.registry.find("add")
            assert mageflow_app.settings.max_crashes == 2
            assert mageflow_app.settings.default_timeout == 5

        @pytest.mark.mageflow(app=mf)
        def test_by_object(mageflow_app):
            assert mageflow_app.registry.find("add")

        def test_without(mageflow_app):
            assert mageflow_app.registry.find("add") is None
    """
    ran = run(project, test, "--strict-markers", app=False)
    ran.assert_outcomes(passed=3)


def test_the_marker_refuses_what_it_does_not_know(project: pytest.Pytester) -> None:
    test = """
        import pytest

        @pytest.mark.mageflow("flows:mf")
        def test_it(mageflow_app): pass

        @pytest.mark.mageflow(app="flows:nothing")
        def test_name(mageflow_app): pass

        @pytest.mark.mageflow(max_crash=1)
        def test_setting(mageflow_app): pass
    """
    ran = run(project, test)
    ran.assert_outcomes(errors=3)
    ran.stdout.fnmatch_lines_random(
        ["*say mageflow(app=*", "*flows has no 'nothing'*", "*unknown setting 'max_crash'*"]
    )


def test_the_fixture_mageflow_tasks_can_be_overridden(project: pytest.Pytester) -> None:
    test = """
        import pytest

        @pytest.fixture
        def mageflow_tasks():
            import flows
            return flows.mf

        def test_it(mageflow_app):
            assert mageflow_app.registry.find("add")
    """
    run(project, test, app=False).assert_outcomes(passed=1)


def test_settings_are_those_of_the_users_app_but_for_backend_and_store(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGEFLOW_BACKEND", "celery")
    monkeypatch.setenv("MAGEFLOW_STORE", "redis://nowhere")
    test = """
        def test_it(mageflow_app):
            settings = mageflow_app.settings
            assert (settings.backend, settings.store) == ("asyncio", "memory://")
            assert (settings.max_crashes, settings.namespace) == (7, "shop")
    """
    run(project, test).assert_outcomes(passed=1)


def test_a_fault_that_never_happened_fails_the_test(project: pytest.Pytester) -> None:
    test = """
        def test_it(mageflow_app):
            mageflow_app.crash("add", at="before")
    """
    ran = run(project, test)
    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(["*crash('add', at='before') happened 0 of 1 times*"])


def test_tests_do_not_see_each_other(project: pytest.Pytester) -> None:
    test = """
        from flows import add

        async def test_one(mageflow_app):
            mageflow_app.replace(add, 99)
            assert await add.run({"a": 1}) == 99

        async def test_two(mageflow_app):
            assert mageflow_app.dispatched == mageflow_app.attempts == []
            assert await mageflow_app.find() == []
            assert await add.run({"a": 1}) == 2
    """
    run(project, test, ini=AUTO).assert_outcomes(passed=2)


def test_assertions_show_their_message_and_not_their_code(project: pytest.Pytester) -> None:
    test = """
        from flows import add

        async def test_it(mageflow_app):
            await add.start({"a": 1})
            mageflow_app.assert_dispatched(add, a=2)
    """
    ran = run(project, test, ini=AUTO)
    ran.assert_outcomes(failed=1)
    ran.stdout.fnmatch_lines(
        ["E *Nearest: add with message {'a': 1}", "E *args.a: expected 2, got 1"]
    )
    ran.stdout.no_fnmatch_line("*def _check*")


def test_the_plugin_is_documented_in_pytest(project: pytest.Pytester) -> None:
    ran = run(project, "", "--fixtures")
    ran.stdout.fnmatch_lines_random(["mageflow_app -- *", "mageflow_tasks -- *"])
    ran = project.runpytest_subprocess("--markers")
    ran.stdout.fnmatch_lines(["@pytest.mark.mageflow(app, *"])


def test_the_plugin_itself_imports_nothing_of_mageflow() -> None:
    source = (ROOT / "src/_mageflow_pytest.py").read_text("utf-8")
    top = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in top
        for alias in node.names
    }
    assert names == {"__future__", "collections.abc", "typing", "pytest"}


def test_the_package_imports_its_parts_only_when_they_are_asked_for() -> None:
    program = (
        "import sys, mageflow.testing as testing;"
        "parts = lambda: [n for n in sys.modules if n.startswith('mageflow.testing.')];"
        "assert parts() == [], parts();"
        "assert 'pytest' not in sys.modules;"
        "[getattr(testing, name) for name in testing.__all__];"
        "assert len(parts()) > 5;"
        "assert 'pytest' not in sys.modules and 'pytest_asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=50)


def test_the_package_has_no_other_names() -> None:
    import mageflow.testing

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mageflow.testing.nothing
