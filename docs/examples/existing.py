"""Functions that are there already become tasks."""

import asyncio
from typing import Any

import mageflow
from mageflow import AcceptParams, Mageflow, chain, handle_task_callback, register_task


# Somebody else's module: it stays as it is, and knows nothing of flows.
def slugify(title: str, separator: str = "-") -> str:
    return separator.join(title.lower().split())


mf = Mageflow()
make_slug = mf.task(slugify)


@mf.task(name="publish-page", aliases=("publish",))
async def publish(slug: str) -> str:
    return f"/pages/{slug}"


@register_task("audit")
@handle_task_callback()
async def audit(message: Any, level: str = "info") -> dict[str, Any]:
    return {"level": level, "message": message}


@register_task("trace")
@handle_task_callback(AcceptParams.ALL)
async def trace(message: Any, ctx: Any) -> str:
    return f"{ctx.task} got {message}"


async def main() -> None:
    assert slugify("Of Mages") == "of-mages"  # called as ever
    assert make_slug("Of Mages") == "of-mages"  # a task that is called is its function
    async with mf:
        flow = chain(make_slug, publish)
        assert await flow.run({"title": "Of Mages"}) == "/pages/of-mages"
        assert await mageflow.sign("publish", slug="x").run() == "/pages/x"
        assert await chain(make_slug, audit.sign(level="debug")).run({"title": "A b"}) == {
            "level": "debug",
            "message": "a-b",
        }
        assert await trace.run([1, 2]) == "trace got [1, 2]"


def without_async() -> None:
    with mf:  # on a loop of its own, in a thread
        run = chain(make_slug, publish).start_sync({"title": "Of Mages"})
        assert run.result_sync(timeout=10) == "/pages/of-mages"


if __name__ == "__main__":
    asyncio.run(main())
    without_async()
