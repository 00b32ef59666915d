"""What people already write runs as they write it, given that the tasks exist."""
# ruff: noqa: E501 - the blocks are held as they are written

import os
import subprocess
import sys

# How all of them begin: nothing is configured, so everything is in this process.
PRELUDE = """
import ast, asyncio
import mageflow
from mageflow import Mageflow, ReturnValue

async def run_block(block, names):
    code = compile(block, "<block>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(code, names)
    if waiting is not None:
        await waiting
"""

RUNS_AND_SIGNATURES = """\
import mageflow

workflow = await mageflow.chain([preprocess_data_task, analyze_data_task, generate_report_task], name="data-pipeline")
parallel_workflow = await mageflow.swarm([process_user_data_task, send_notifications_task, update_cache_task], task_name="user-processing")
task_signature = await mageflow.sign(
    task_name="process-order",
    task_identifiers={"order_id": "12345"},
    success_callbacks=[send_confirmation_task],
    error_callbacks=[handle_error_task],
)
"""

DECORATORS = """\
from mageflow import register_task, handle_task_callback

@register_task("my-task")
@handle_task_callback()
async def my_task(message):
    return {"status": "completed"}
"""

EVERYDAY = """\
from mageflow import Mageflow, chain, swarm, ReturnValue

mf = Mageflow()                      # settings: arguments, environment, mageflow.toml, pyproject.toml; default: embedded

@mf.task(retries=3, timeout=30)
async def fetch(url: str) -> Page: ...

@mf.task
def count(page: ReturnValue[Page], word: str) -> int: ...

async with mf:                       # embedded backend: the worker lives in this process
    run = await chain(fetch.sign(url="…"), count.sign(word="mage")).start()
    print(await run.result(timeout=60))
"""


def output_of(script: str) -> str:
    # The default app of a process is nobody's to close.
    environment = {**os.environ, "MAGEFLOW_WARN_UNCLOSED": "false"}
    command = [sys.executable, "-W", "error", "-c", PRELUDE + script]
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=50, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def test_chains_swarms_and_signatures_are_stored_by_awaiting_them() -> None:
    # Given tasks of these names, and no app
    tasks = """
told = []

@mageflow.register_task("preprocess-data")
async def preprocess_data_task(rows: list[int]): return [row for row in rows if row > 0]

@mageflow.register_task("analyze-data")
async def analyze_data_task(rows: list[int]): return {"total": sum(rows)}

@mageflow.register_task("generate-report")
async def generate_report_task(total: int): return f"total: {total}"

@mageflow.register_task("process-user-data")
async def process_user_data_task(user: str): return user.title()

@mageflow.register_task("send-notifications")
async def send_notifications_task(user: str): return f"to {user}"

@mageflow.register_task("update-cache")
def update_cache_task(user: str): return len(user)

@mageflow.register_task("process-order")
async def process_order(amount: int):
    if amount < 0:
        raise ValueError("a negative amount")
    return amount * 2

@mageflow.register_task("send-confirmation")
async def send_confirmation_task(done: ReturnValue[int]): told.append(done)

@mageflow.register_task("handle-error")
async def handle_error_task(error: mageflow.ErrorValue): told.append(error.message)
"""
    # When the block has stored its runs, and these are started
    ending = f"""
async def main():
    await run_block({RUNS_AND_SIGNATURES!r}, globals())
    for run in (workflow, parallel_workflow, task_signature):
        print(type(run).__name__, await run.status(), dict(run.labels))
    print(workflow.signature.name, parallel_workflow.signature.name)
    await workflow.start({{"rows": [1, -5, 2]}})
    print(await workflow.result(timeout=20))
    await parallel_workflow.start({{"user": "ann"}})
    print(await parallel_workflow.result(timeout=20))
    await task_signature.start({{"amount": 4}})
    print(await task_signature.result(timeout=20))
    await task_signature.settled(timeout=20)
    failing = await task_signature.signature.start({{"amount": -1}})
    await failing.settled(timeout=20)
    print(await failing.status(), told)

asyncio.run(main())
"""
    # Then each has run with what it was given, and its callbacks too
    assert output_of(tasks + ending).splitlines() == [
        "Run pending {}",
        "Run pending {}",
        "Run pending {'order_id': '12345'}",
        "data-pipeline user-processing",
        "total: 3",
        "['Ann', 'to ann', 3]",
        "8",
        "failed [8, 'a negative amount']",
    ]


def test_a_function_is_registered_by_the_two_decorators() -> None:
    # Given the block, and a task whose result is a number
    script = f"""
names = {{}}
asyncio.run(run_block({DECORATORS!r}, names))
my_task = names["my_task"]

@mageflow.register_task("three")
def three(): return 3

async def main():
    print(await mageflow.sign("my-task").run({{"any": "thing"}}, timeout=20))
    print(await mageflow.chain(three, my_task).run(timeout=20))
    print(await my_task("called as a function"))

asyncio.run(main())
"""
    # When it is run by its name, in a chain, and as a function; then it does the same
    assert output_of(script).splitlines() == ["{'status': 'completed'}"] * 3


def test_the_everyday_form_runs() -> None:
    # Given bodies in place of the dots
    block = EVERYDAY.replace("-> Page: ...", '-> Page: return Page(text="a mage, a mage")')
    block = block.replace("-> int: ...", "-> int: return page.text.count(word)")
    assert "..." not in block
    # When it is run
    script = f"""
from pydantic import BaseModel

class Page(BaseModel):
    text: str

asyncio.run(run_block({block!r}, globals()))
"""
    # Then the result is what the last step has returned
    assert output_of(script) == "2\n"
