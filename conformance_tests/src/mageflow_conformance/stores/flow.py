"""One run, played by hand: as clients, workers and bodies would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mageflow_conformance.stores.builders import Sig
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Continued,
    Done,
    Failed,
    Failure,
    Job,
    Outcome,
    Refusal,
    Released,
    Report,
    Returned,
    Status,
    Steer,
    Steered,
    Verb,
    Verdict,
)
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import Claimed, NodeView, RunView, Work

if TYPE_CHECKING:
    from mageflow_conformance.stores.bench import Bench, Handle


SIDE_BY_SIDE = 20  # bodies


def batched(paths: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (paths[first : first + size] for first in range(0, len(paths), size))


def text_of(value: Any) -> str:
    return json.dumps(value)


class Flow:
    """A run of a bench. Paths are those within the run: "" is its root."""

    def __init__(self, bench: Bench, run_id: str) -> None:
        self.bench = bench
        self.id = run_id

    def key(self, path: str = "") -> str:
        return self.id + path

    # --- clients --------------------------------------------------------------------------------
    async def start(self, message: Any = None, start_id: str = "start-1") -> str | None:
        return await self.bench.store.start(self.id, text_of(message), start_id)

    async def steer(self, verb: str, path: str = "", *, call: str | None = None) -> Steered:
        """call: the id of the request."""
        request = Steer(path, Verb(verb), call or self.bench.new_id())
        return await self.bench.store.steer(self.id, request)

    async def suspend(self, path: str = "") -> None:
        await self._applied("suspend", path)

    async def resume(self, path: str = "") -> None:
        await self._applied("resume", path)

    async def interrupt(self, path: str = "") -> None:
        await self._applied("interrupt", path)

    async def cancel(self, path: str = "") -> None:
        await self._applied("cancel", path)

    async def retry(self, path: str = "") -> None:
        await self._applied("retry", path)

    async def _applied(self, verb: str, path: str) -> None:
        answer = await self.steer(verb, path)
        assert answer.applied, f"{verb} of {path!r} is refused: {answer.why}"

    async def add(
        self, *items: Sig, path: str = "", call: str | None = None
    ) -> tuple[int, ...] | Refusal:
        request = Add(path, call or self.bench.new_id(), items)
        answer = await self.bench.store.add(self.id, request)
        return answer if isinstance(answer, Refusal) else tuple(answer)

    async def close(self, path: str = "") -> Refusal | None:
        return await self.bench.store.close_swarm(self.id, path)

    # --- reading --------------------------------------------------------------------------------
    async def run(self) -> RunView:
        return await self.bench.store.view(self.id)

    async def view(self, path: str = "") -> NodeView:
        return await self.bench.store.node(self.key(path))

    async def status(self, path: str = "") -> Status:
        return (await self.view(path)).status

    async def statuses(self, path: str = "") -> dict[str, Status]:
        views = await self.bench.store.children(self.key(path), 0, 10_000)
        return {split_key(view.key)[1]: view.status for view in views}

    async def text(self, path: str = "") -> str | None:
        return await self.bench.store.value(self.key(path))

    async def value(self, path: str = "") -> Any:
        text = await self.text(path)
        return None if text is None else json.loads(text)

    async def error(self, path: str = "") -> ErrorInfo:
        error = (await self.view(path)).error
        assert error is not None, f"{path!r} has no error"
        return error

    async def has_settled(self) -> bool:
        return (await self.run()).settled_at is not None

    async def events(self) -> list[tuple[str, str]]:
        return [(event.what, event.path) for event in await self.bench.store.history(self.id)]

    async def is_gone(self) -> bool:
        page = await self.bench.store.counts()
        return not sum(page.values())

    # --- the backend ----------------------------------------------------------------------------
    def jobs(self, path: str | None = None) -> list[Job]:
        """All jobs that were ever handed out of this run, or of one node."""
        return self.bench.backend.of(self.id, path)

    def waiting(self) -> list[str]:
        """Paths of the jobs that are with the backend, each once."""
        return self.bench.backend.waiting(self.id)

    def take(self, path: str = "") -> Job | None:
        """The latest job of a node from the backend, and with it all older ones."""
        return self.bench.backend.take(self.id, path)

    async def due(self) -> list[str]:
        """The same, when all that is due now has been done."""
        await self.bench.calm()
        return self.waiting()

    async def sends(self, *paths: str) -> None:
        """Return when jobs of just these nodes are with the backend, and no others come."""

        def all_there() -> bool:
            return sorted(self.waiting()) == sorted(paths)

        about = f"jobs of {len(paths)} nodes, as {paths[:3]}"
        try:
            await self.bench.eventually(lambda: len(self.waiting()) >= len(paths), about=about)
        finally:
            if not all_there():
                raise AssertionError(f"{about}: there are those of {self.waiting()[:20]}")
        await self.bench.calm()
        assert all_there(), f"{about}: later there are those of {self.waiting()[:20]}"

    # --- workers --------------------------------------------------------------------------------
    async def claim(
        self, path: str = "", *, attempt: int = 1, call: str = "", by: Handle | None = None
    ) -> Claimed:
        """Ask for a node, whatever jobs there are. call: the id of the claim."""
        handle = by or self.bench.first
        claim_id = call or f"{handle.worker}-{self.bench.new_id()}"
        request = ClaimRequest(path, attempt, claim_id, handle.worker)
        return await handle.store.claim(self.id, request)

    async def deliver(self, job: Job, by: Handle | None = None) -> Claimed:
        return await self.claim(split_key(job.key)[1], attempt=job.attempt, by=by)

    async def knock(self, path: str = "", by: Handle | None = None) -> Claimed:
        """Deliver a node's latest job once more, whether or not it was delivered before."""
        await self.bench.eventually(lambda: self.jobs(path), about=f"a job of {self.key(path)}")
        self.take(path)
        return await self.deliver(self.jobs(path)[-1], by)

    async def begin(self, path: str = "", by: Handle | None = None) -> Body:
        """Deliver a node's job once it is there; its claim must be granted."""
        job = await self.bench.eventually(
            lambda: self.take(path), about=f"a job of {self.key(path)} to be sent"
        )
        claimed = await self.deliver(job, by)
        assert claimed.work is not None, f"{job} is not granted: {claimed.verdict}, {claimed.why}"
        return Body(self, path, claimed.work, by or self.bench.first)

    async def runs_once(self, path: str = "") -> Body:
        """Begin a node, whose other jobs, if there are any, are all skipped then."""
        body = await self.begin(path)
        for job in self.jobs(path):
            verdict = (await self.deliver(job)).verdict
            assert verdict is Verdict.SKIP, f"{job} is {verdict} although the node runs"
        return body

    async def serve(self, value: Any = None) -> int:
        """Run all there is to run, each body giving `value`, until the run has settled; how many
        bodies that were."""
        count = 0

        async def run(path: str) -> None:
            nonlocal count
            job = self.take(path)
            claimed = await self.deliver(job) if job is not None else None
            if claimed is not None and claimed.work is not None:
                count += 1
                await Body(self, path, claimed.work, self.bench.first).done(value)

        async def serve_some() -> bool:
            for paths in batched(self.waiting(), SIDE_BY_SIDE):
                await asyncio.gather(*map(run, paths))
            return not self.waiting() and await self.has_settled()

        await self.bench.eventually(serve_some, within=20.0, about=f"the end of {self.id}")
        return count


@dataclass
class Body:
    """A granted claim, as the worker sees it."""

    flow: Flow
    path: str
    work: Work
    by: Handle

    async def says(self, outcome: Outcome) -> str | None:
        """Report; gives why it was refused."""
        message = Report(self.path, self.work.claim, self.work.fence, outcome)
        return await self.by.store.report(self.flow.id, message)

    async def tells(self, outcome: Outcome) -> None:
        """Report what must not be refused."""
        refused = await self.says(outcome)
        assert refused is None, f"the outcome of {self.work.key} is refused: {refused}"

    async def done(self, value: Any = None, **how: Any) -> None:
        await self.tells(Done(value=text_of(value), **how))

    async def gives(self, text: str) -> None:
        """`done` with a value that is JSON text already."""
        await self.tells(Done(value=text))

    async def fails(
        self,
        retry_in: float | None = None,
        *,
        text: str = "no luck",
        held: bool = False,
        cause: Cause = Cause.BODY,
    ) -> None:
        failure = Failure(cause, json.dumps(self.info(text, cause).to_json()))
        await self.tells(Failed(failure=failure, retry_in=retry_in, held=held))

    def info(self, text: str = "no luck", cause: Cause = Cause.BODY) -> ErrorInfo:
        """What a worker would say of a failure."""
        return ErrorInfo(
            cause=cause,
            type="builtins.ValueError",
            message=text,
            traceback="Traceback (most recent call last): …",
            task=getattr(self.work.signature, "task", None),
            key=self.work.key,
            attempts=self.work.attempt,
        )

    async def released(self) -> None:
        await self.tells(Released())

    async def returns(self, signature: Sig, **how: Any) -> None:
        await self.tells(Continued(signature=signature, **how))

    async def thread_returns(self) -> None:
        await self.tells(Returned())

    async def holds(self) -> bool:
        """Whether the claim counts, and nothing has told the body to stop."""
        return await self.by.store.holds(self.work.key, self.work.claim)
