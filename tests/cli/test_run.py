"""`mageflow run`."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]
Says = Callable[..., str]

FLOWS = """
from mageflow import ErrorValue, Mageflow, ReturnValue, chain, swarm

mf = Mageflow()

@mf.task
def add(a: int, b: int = 1) -> int:
    return a + b

@mf.task
def fails(a: int) -> int:
    raise ValueError("no such thing")

@mf.task
def tell(error: ErrorValue) -> str:
    return f"told of {error.message}"

nightly = chain(add, add.sign(b=10))
wide = swarm([add.sign(b=n) for n in range(30)])
failing = chain(add, fails).on_error(tell)
number = 3

def made():
    return chain(add, add)

async def made_later():
    return await chain(add, add, add)

def with_arguments(which):
    return nightly

def broken():
    raise KeyError("which")

class Nested:
    flow = nightly
"""


@pytest.fixture(autouse=True)
def flows(tmp_path: Path) -> Path:
    (tmp_path / "flows.py").write_text(FLOWS)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "message", "result"),
    [
        ("flows:add", '{"a": 1}', 2),
        ("flows:nightly", "4", 15),
        ("flows:wide", '{"a": 1}', list(range(1, 31))),
        ("flows:made", "4", 6),
        ("flows:made_later", "4", 7),
        ("flows:Nested.flow", "4", 15),
    ],
)
def test_it_runs_tasks_signatures_functions_and_stored_runs(
    target: str, message: str, result: object, command: Command
) -> None:
    ran = command("run", target, "--input", message)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == result
    assert ran.stderr == ""


def test_the_message_can_be_in_a_file(flows: Path, command: Command) -> None:
    (flows / "message.json").write_text('{"a": 40, "b": 2}')
    ran = command("run", "flows:add", "--input", "@message.json")
    assert (ran.returncode, ran.stdout) == (0, "42\n")


def test_as_json_it_prints_the_run_and_its_result(command: Command) -> None:
    ran = command("run", "flows:nightly", "--input", "4", "--json")
    printed = json.loads(ran.stdout)
    assert set(printed) == {"run", "status", "tasks", "seconds", "callbacks", "result", "error"}
    assert (printed["status"], printed["tasks"], printed["result"]) == ("done", 2, 15)
    assert printed["error"] is None


def test_a_flow_that_fails_ends_with_one_and_says_where_and_why(says: Says) -> None:
    said = says(1, "run", "flows:failing", "--input", "4")
    assert said.startswith("failed: ValueError: no such thing in 'fails'")
    assert "--json shows the traceback" in said


def test_a_failure_as_json_has_the_error_and_what_callbacks_did(command: Command) -> None:
    ran = command("run", "flows:failing", "--input", "4", "--json")
    printed = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert (printed["status"], printed["result"]) == ("failed", None)
    assert printed["error"]["task"] == "fails"
    assert "ValueError: no such thing" in printed["error"]["traceback"]
    assert printed["callbacks"] == {"tell": "told of no such thing"}


def test_input_that_a_task_does_not_take_fails_the_flow(says: Says) -> None:
    assert "parameter 'a' (int) needs a value" in says(1, "run", "flows:add")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("flows", "'flows' names no flow: write module:attribute, as in flows:nightly"),
        (":nightly", "':nightly' names no flow: write module:attribute"),
        ("missing:flow", "there is no module 'missing': run this in the folder that has it"),
        ("flows.sub:x", "there is no module 'flows.sub'"),
        ("flows:nightyl", "module 'flows' has no 'nightyl': its flows and tasks are add, fails"),
        ("flows:number", "flows:number is int: name a task, a signature, or a function"),
        ("flows:with_arguments", "cannot be called without arguments: missing a required"),
        ("flows:broken", "flows:broken gives no flow: KeyError: 'which' ("),
    ],
)
def test_what_cannot_be_run_is_wrong_use(target: str, expected: str, says: Says) -> None:
    assert expected in says(2, "run", target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a", "--input is not JSON: Expecting property name"),
        ("hello", "a text is written --input '\"text\"'"),
        ("@missing.json", "missing.json cannot be read: "),
        ("@flows.py", "flows.py is not JSON: "),
    ],
)
def test_input_that_is_not_json_is_wrong_use(text: str, expected: str, says: Says) -> None:
    assert expected in says(2, "run", "flows:add", "--input", text)


def test_a_module_that_cannot_be_imported_is_said_in_one_line(flows: Path, says: Says) -> None:
    (flows / "wrong.py").write_text("import json\nimport no_such_library\n")
    said = says(2, "run", "wrong:flow")
    assert said.startswith("module 'wrong' cannot be imported: ModuleNotFoundError")
    assert said.endswith("wrong.py, line 2)")
    (flows / "raises.py").write_text("\n\nx = 1 / 0\n")
    assert says(2, "run", "raises:flow").endswith("raises.py, line 3)")


def test_a_signature_of_a_task_that_is_not_there_is_wrong_use(flows: Path, says: Says) -> None:
    (flows / "other.py").write_text("from flows import mf\nimport mageflow\n")
    with (flows / "other.py").open("a") as file:
        file.write("flow = mageflow.sign('ad')\n")
    assert "no task is named 'ad'; did you mean 'add'?" in says(2, "run", "other:flow")


def test_a_flow_finds_the_one_app_that_another_module_has_made(
    flows: Path, command: Command
) -> None:
    (flows / "other.py").write_text(
        "import flows, mageflow\nflow = mageflow.chain(flows.add, flows.add)\n"
    )
    ran = command("run", "other:flow", "--input", "1")
    assert (ran.returncode, ran.stdout) == (0, "3\n")


def test_several_apps_without_a_word_on_which_are_wrong_use(flows: Path, says: Says) -> None:
    (flows / "apps.py").write_text(
        "from mageflow import Mageflow, sign\none = Mageflow()\ntwo = Mageflow()\n"
        "@one.task\ndef f() -> int: return 1\nflow = f.sign()\n"
    )
    assert "2 apps exist here" in says(2, "run", "apps:flow")


def test_a_task_runs_on_its_own_app_where_there_are_several(flows: Path, command: Command) -> None:
    (flows / "apps.py").write_text(
        "from mageflow import Mageflow\none = Mageflow()\ntwo = Mageflow()\n"
        "@two.task\ndef f() -> int: return 2\n"
    )
    ran = command("run", "apps:f")
    assert (ran.returncode, ran.stdout) == (0, "2\n")
