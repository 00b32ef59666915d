"""What users' type checkers see. Checked, never run: ``nox -s types``.

A line that must be an error has a ``type: ignore`` with its code; mypy refuses those that are not
needed, so that a type that gets lost is noticed here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, assert_type

from pydantic import BaseModel

from mageflow_core import (
    ChainSignature,
    ErrorInfo,
    ErrorValue,
    Found,
    GraphSignature,
    Mageflow,
    Node,
    ReturnValue,
    Run,
    Status,
    SwarmSignature,
    TaskSignature,
    Tree,
    chain,
    graph,
    sign,
    swarm,
)
from mageflow_core.machine import Event


class Page(BaseModel):
    url: str


mf = Mageflow()


# --- tasks keep the signatures of their functions ------------------------------------------------


@mf.task
async def fetch(url: str, retries: int = 3) -> Page:
    return Page(url=url)


@mf.task(retries=3, timeout=30)
def count(page: ReturnValue[Page], word: str) -> int:
    assert_type(page, Page)
    return page.url.count(word)


@mf.task
def note(error: ErrorValue, text: str | None = None) -> None:
    assert_type(error, ErrorInfo)


def calling_a_task_is_calling_its_function(page: Page) -> None:
    assert_type(count(page, "x"), int)
    assert_type(count(page, word="x"), int)
    coroutine: Coroutine[Any, Any, Page] = fetch("u")
    coroutine.close()
    fetch(1)  # type: ignore[arg-type,unused-coroutine]
    fetch()  # type: ignore[call-arg,unused-coroutine]
    fetch("u", tries=1)  # type: ignore[call-arg,unused-coroutine]
    count(page)  # type: ignore[call-arg]
    count("page", "x")  # type: ignore[arg-type]
    wrong: str = count(page, "x")  # type: ignore[assignment]
    assert wrong


async def awaiting_an_async_task_gives_its_result() -> None:
    assert_type(await fetch("u"), Page)


# --- signatures are typed by what they give -------------------------------------------------------


def signatures_know_their_results() -> None:
    assert_type(fetch.sign(url="u"), TaskSignature[Page])
    assert_type(fetch.sign(), TaskSignature[Page])
    assert_type(count.sign(word="x"), TaskSignature[int])
    assert_type(sign(fetch, url="u"), TaskSignature[Page])
    assert_type(sign("fetch", url="u"), TaskSignature[Any])


def methods_of_signatures_keep_their_kind() -> None:
    assert_type(fetch.sign().options(retries=1), TaskSignature[Page])
    assert_type(fetch.sign().bind(url="u"), TaskSignature[Page])
    assert_type(fetch.sign().named("n"), TaskSignature[Page])
    assert_type(fetch.sign().label(order="7"), TaskSignature[Page])
    assert_type(fetch.sign().on_error(note).on_success(count), TaskSignature[Page])
    assert_type(chain(fetch, count).options(deadline=60), ChainSignature[int])


def chains_are_typed_by_their_last_step() -> None:
    assert_type(chain(fetch), ChainSignature[Page])
    assert_type(chain(fetch, count), ChainSignature[int])
    assert_type(chain(fetch, count.sign(word="x")), ChainSignature[int])
    assert_type(chain(fetch, count, fetch), ChainSignature[Page])
    assert_type(chain(fetch, count, fetch, count), ChainSignature[int])
    assert_type(chain(fetch, count, fetch, count, note), ChainSignature[None])
    assert_type(chain(fetch, chain(fetch, count)), ChainSignature[int])
    assert_type(chain(fetch, swarm(count, count)), ChainSignature[list[Any]])
    assert_type(chain(fetch, count, name="pipeline"), ChainSignature[int])


def swarms_and_graphs_are_lists_and_mappings() -> None:
    assert_type(swarm(fetch, count), SwarmSignature[list[Any]])
    assert_type(swarm([fetch, count], max_concurrency=3), SwarmSignature[list[Any]])
    assert_type(graph({"a": fetch, "b": count}, {"b": ["a"]}), GraphSignature[dict[str, Any]])


# --- runs -----------------------------------------------------------------------------------------


async def runs_are_typed_by_what_they_run() -> None:
    assert_type(await fetch.start({"url": "u"}), Run[Page])
    assert_type(await fetch.run({"url": "u"}), Page)
    assert_type(await fetch.sign().start(), Run[Page])
    assert_type(await fetch.sign().run(timeout=3), Page)
    assert_type(await fetch.sign(), Run[Page])
    assert_type(await chain(fetch, count), Run[int])

    run = await chain(fetch, count).start({"url": "u"})
    assert_type(run, Run[int])
    assert_type(await run.result(timeout=60), int)
    wrong: str = await run.result()  # type: ignore[assignment]
    assert wrong
    run.result(60)  # type: ignore[call-arg,unused-coroutine]

    assert_type(await swarm(fetch).run(), list[Any])
    assert_type(await graph({"a": fetch}).run(), dict[str, Any])


async def what_is_asked_of_a_run_is_typed(run: Run[int]) -> None:
    assert_type(await run.status(), Status)
    assert_type(await run.error(), ErrorInfo | None)
    assert_type(await run.tree(), Tree)
    assert_type(await run.nodes(), list[Node[Any]])
    assert_type(await run.history(), Sequence[Event])
    assert_type(await run.suspend(), bool)
    assert_type(await run.cancel(), bool)
    assert_type(run[0], Node[Any])
    assert_type(await run.start(), Run[int])
    assert_type(await mf.find(status="done"), Found)
    async for child in run.children():
        assert_type(child, Node[Any])


def the_sync_twins_are_typed_alike() -> None:
    assert_type(fetch.start_sync({"url": "u"}), Run[Page])
    assert_type(fetch.run_sync({"url": "u"}), Page)
    assert_type(chain(fetch, count).run_sync(), int)
    assert_type(chain(fetch, count).start_sync().result_sync(timeout=3), int)
    with mf as app:
        assert_type(app, Mageflow)


async def the_app_is_a_context_manager() -> None:
    async with mf as app:
        assert_type(app, Mageflow)
