"""A process that is forked while an app is open."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mageflow_conformance.servers import RedisServer

FORKS = """
import asyncio, gc, os, sys
from mageflow_core import Mageflow

mf = Mageflow(store=sys.argv[1], warn_unclosed=False, store_patience=5)

@mf.task
def add(a: int) -> int:
    return a + 1

async def child():
    async with mf:
        sum = await add.run({"a": 10})
    gc.collect()  # what the parent uses must not be closed here, for they share what wakes it
    return sum

async def parent():
    await add.run({"a": 1})
    pid = os.fork()
    if pid == 0:
        asyncio._set_running_loop(None)
        code = 1
        try:
            code = asyncio.run(child())
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    print(os.waitstatus_to_exitcode(status), await add.run({"a": 100}))
    await mf.close()

asyncio.run(parent())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_is_open_in_the_parent_goes_on(server: RedisServer) -> None:
    known = "ignore:This process"  # is multi-threaded, says Python 3.12 of any fork of an app
    program = [sys.executable, "-W", known, "-c", FORKS, server.url]
    done = subprocess.run(program, capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("11 101\n", "")
