"""Runs the emulated engine until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import signal
from contextlib import closing

from aiohttp import web

from mageflow_hatchet.stub.engine import LOST, Engine
from mageflow_hatchet.stub.record import Record
from mageflow_hatchet.stub.rest import application
from mageflow_hatchet.stub.service import serving

HOST = "127.0.0.1"


async def run(port: int, api_port: int, engine: Engine) -> None:
    """Raises `OSError` where a port is taken."""
    server = serving(engine)
    if server.add_insecure_port(f"{HOST}:{port}") != port:
        raise OSError(f"address already in use: {port}")
    api = web.AppRunner(application(engine))
    await api.setup()
    await web.TCPSite(api, HOST, api_port).start()
    await server.start()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    looking = asyncio.create_task(engine.look())
    try:
        await ending.wait()
    finally:
        looking.cancel()
        await server.stop(0)
        await api.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mageflow_hatchet.stub", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="for gRPC")
    parser.add_argument("--api-port", type=int, required=True, help="for the REST API")
    parser.add_argument("--file", required=True, help="where runs are kept")
    parser.add_argument("--scale", type=float, default=1.0, help="seconds to a second of timeouts")
    parser.add_argument("--lost", type=float, default=LOST, help="seconds of a worker's silence")
    given = parser.parse_args()
    with closing(Record(given.file)) as record:
        engine = Engine(record, scale=given.scale, lost=given.lost)
        asyncio.run(run(given.port, given.api_port, engine))


if __name__ == "__main__":
    main()
