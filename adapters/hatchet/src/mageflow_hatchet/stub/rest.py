"""The emulated engine's REST API: to be asked how it is, to pause workers, and to cancel runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from mageflow_hatchet.stub.engine import Engine, Refused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC).isoformat()


def application(engine: Engine) -> web.Application:
    async def ready(_request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def update_worker(request: web.Request) -> web.Response:
        said = await request.json()
        try:
            worker = engine.pause(request.match_info["worker"], paused=bool(said["isPaused"]))
        except Refused as refused:
            return web.json_response({"errors": [{"description": str(refused)}]}, status=404)
        metadata = {"id": worker.id, "createdAt": EPOCH, "updatedAt": EPOCH}
        status = "PAUSED" if worker.paused else "ACTIVE"
        told = {"metadata": metadata, "name": worker.name, "type": "SELFHOSTED", "status": status}
        return web.json_response(told)

    async def cancel(request: web.Request) -> web.Response:
        said: dict[str, Any] = await request.json()
        ids = said.get("externalIds") or []
        return web.json_response({"ids": engine.cancel(ids)})

    app = web.Application()
    app.add_routes(
        [
            web.get("/api/ready", ready),
            web.patch("/api/v1/workers/{worker}", update_worker),
            web.post("/api/v1/stable/tenants/{tenant}/tasks/cancel", cancel),
        ]
    )
    return app
