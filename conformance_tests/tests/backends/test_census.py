"""What a process has, and whether it has become more."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from mageflow_conformance.backends.census import ROOM, assert_none_grew, back_to, take_census


async def test_what_is_kept_is_counted() -> None:
    # Given a process, and how much it has
    before = take_census()
    free = asyncio.Event()
    # When it keeps blocks of memory, tasks, sockets and threads
    blocks = [str(number) * 3 for number in range(5_000)]
    tasks = [asyncio.create_task(free.wait()) for _ in range(3)]
    pairs = [socket.socketpair() for _ in range(2)]
    go_on = threading.Event()
    threads = [threading.Thread(target=go_on.wait, args=(10,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    after = take_census()
    # Then these are counted
    grew = {name: after[name] - before[name] for name in after}
    assert grew["blocks"] >= len(blocks)
    assert (grew["tasks"], grew["sockets"], grew["descriptors"], grew["threads"]) == (3, 4, 4, 2)
    assert after["kilobytes"] > 1_000
    # And not any more when it lets go of them
    go_on.set()
    free.set()
    for thread in threads:
        thread.join()
    await asyncio.gather(*tasks)
    for pair in pairs:
        for end in pair:
            end.close()
    blocks.clear()
    assert_none_grew(before, take_census(), 100_000)


@pytest.mark.parametrize("name", ["blocks", *ROOM])
def test_one_thing_that_grows_is_told(name: str) -> None:
    before: Any = dict.fromkeys(["blocks", *ROOM], 100)
    assert_none_grew(before, before, 1_000)
    with pytest.raises(AssertionError, match=rf"after 1000 runs there are more: 9900 {name};"):
        assert_none_grew(before, {**before, name: 10_000}, 1_000)


def test_one_block_of_memory_for_each_run_is_too_much() -> None:
    before: Any = dict.fromkeys(["blocks", *ROOM], 100)
    assert_none_grew(before, {**before, "blocks": 300}, 1_000)
    with pytest.raises(AssertionError, match="more: 1000 blocks"):
        assert_none_grew(before, {**before, "blocks": 1_100}, 1_000)


async def test_what_is_on_its_way_is_waited_for() -> None:
    before: Any = dict.fromkeys(["blocks", *ROOM], 100)
    many = iter([9_000, 4_000, 120, 110])

    async def taken() -> Any:
        return {**before, "blocks": next(many)}

    assert (await back_to(before, taken, 1_000))["blocks"] == 120


async def test_what_stays_is_told_as_it_was_last() -> None:
    before: Any = dict.fromkeys(["blocks", *ROOM], 100)
    many = iter([9_000, *[4_000] * 1_000])

    async def taken() -> Any:
        return {**before, "blocks": next(many)}

    assert (await back_to(before, taken, 1_000, within=0.01))["blocks"] == 4_000
