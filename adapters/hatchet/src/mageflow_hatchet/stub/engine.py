"""What the emulated engine does: it gives runs to workers, and sees what becomes of both."""

from __future__ import annotations

import asyncio
import heapq
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from hatchet_sdk.contracts.v1.workflows_pb2 import CreateTaskOpts, CreateWorkflowVersionRequest

from mageflow_hatchet.stub.record import (
    CANCELLED,
    COMPLETED,
    FAILED,
    QUEUED,
    RUNNING,
    Record,
    Run,
    Worker,
)

NAME = re.compile(r"[a-zA-Z0-9.\-_]+")
FRESH = 5.0  # seconds without a heartbeat, after which a worker gets nothing more
LOST = 30.0  # after which what it has goes to others, unless it is said
MOST_CRASHES = 10
LOOKS = 0.25  # seconds between two looks at what is overdue
SCHEDULE, EXECUTION = "5m", "60s"  # timeouts where nothing is said
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Refused(Exception):
    """A request that the engine does not take. code: gRPC's name of why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Engine:
    """scale: what a second of a workflow's timeouts is here, so that they can be tried. lost:
    seconds without a heartbeat, after which what a worker has goes to others."""

    def __init__(self, record: Record, *, scale: float = 1.0, lost: float = LOST) -> None:
        self._record = record
        self._scale = scale
        self._lost = lost
        self.workflows: dict[str, CreateWorkflowVersionRequest] = {}
        self.workers = {each.id: each for each in record.workers()}
        self.streams: dict[str, asyncio.Queue[tuple[Run, bool] | None]] = {}
        self.runs: dict[str, Run] = {}  # that have not ended
        self._waiting: dict[str, list[tuple[int, int, str]]] = defaultdict(list)  # by action
        self._used: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._number = record.last_number()
        self._ends: dict[str, list[asyncio.Future[Run]]] = defaultdict(list)
        for name, definition in record.workflows():
            self.workflows[name] = CreateWorkflowVersionRequest.FromString(definition)
        for run in record.open_runs():
            self.runs[run.id] = run
            if run.status == RUNNING:
                self._count(run, 1)
            else:
                self._wait(run)

    # --- workflows and runs ---------------------------------------------------------------------
    def put(self, workflow: CreateWorkflowVersionRequest) -> None:
        names = [workflow.name, *(task.readable_id for task in workflow.tasks)]
        if not all(NAME.fullmatch(name) for name in names):
            raise Refused("INVALID_ARGUMENT", f"a name of {names} is not [a-zA-Z0-9.-_]+")
        if len(workflow.tasks) != 1:
            raise Refused("UNIMPLEMENTED", "the emulation has workflows of one step only")
        self.workflows[workflow.name] = workflow
        self._record.keep_workflow(workflow.name, workflow.SerializeToString())

    def trigger(self, requests: Sequence[Any], due: float = 0.0) -> list[str]:
        """All of them or none."""
        lacking = sorted({each.name for each in requests} - self.workflows.keys())
        if lacking:
            raise Refused("INVALID_ARGUMENT", f"workflow names not found: {', '.join(lacking)}")
        made = [self._made(each, due) for each in requests]
        self._record.keep(*(run for run, new in made if new))
        for run, new in made:
            if new:
                self.runs[run.id] = run
                self._wait(run)
        self.assign({run.action for run, _ in made})
        return [run.id for run, _ in made]

    def _made(self, request: Any, due: float) -> tuple[Run, bool]:
        workflow = self.workflows[request.name]
        (step,) = workflow.tasks
        run_id = str(uuid.uuid4())
        if request.parent_task_run_external_id:
            # A child is found again by its place, whatever it is by now.
            place = request.child_key or str(request.child_index)
            first = self._record.child(f"{request.parent_task_run_external_id}/{place}", run_id)
            if first != run_id:
                found = self._record.run(first)
                assert found is not None, "it was written with its place"
                return self.runs.get(first, found), False
        self._number += 1
        now = time.time()
        priority = request.priority or workflow.default_priority or 1
        return Run(
            id=run_id,
            number=self._number,
            workflow=workflow.name,
            action=step.action.lower(),
            step=step.readable_id,
            input=request.input or "{}",
            metadata=request.additional_metadata or "{}",
            parent=request.parent_task_run_external_id,
            priority=priority,
            due=due,
            slots=dict(step.slot_requests) or {"default": 1},
            retries=step.retries,
            execution_timeout=self._seconds(step.timeout or EXECUTION),
            schedule_timeout=self._schedule_timeout(step),
            queued_at=max(now, due),
        ), True

    def _schedule_timeout(self, step: CreateTaskOpts) -> float:
        return self._seconds(step.schedule_timeout or SCHEDULE)

    def _seconds(self, duration: str) -> float:
        parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
        return self._scale * sum(int(count) * UNITS[unit] for count, unit in parts)

    def find(self, run_id: str) -> Run | None:
        return self.runs.get(run_id) or self._record.run(run_id)

    def runs_with(self, metadata: dict[str, Any]) -> list[Run]:
        return self._record.runs_with(metadata)

    async def ended(self, run_id: str) -> Run:
        run = self.find(run_id)
        if run is None:
            raise Refused("NOT_FOUND", f"no run {run_id}")
        if run.ended:
            return run
        end: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self._ends[run_id].append(end)
        return await end

    # --- workers --------------------------------------------------------------------------------
    def register(self, name: str, actions: Iterable[str], slots: dict[str, int]) -> Worker:
        given = [action.lower() for action in actions]
        worker = Worker(
            id=str(uuid.uuid4()),
            name=name,
            actions=given,
            slots=slots or {"default": 100},
            seen_at=time.time(),
        )
        self.workers[worker.id] = worker
        self._record.keep_worker(worker)
        return worker

    def worker(self, worker_id: str) -> Worker:
        worker = self.workers.get(worker_id)
        if worker is None:
            raise Refused("NOT_FOUND", f"worker not found: {worker_id}")
        return worker

    def listen(self, worker_id: str) -> asyncio.Queue[tuple[Run, bool] | None]:
        """Its actions from now on: a run, and whether it is to be canceled; `None` at the end."""
        worker = self.worker(worker_id)
        before = self.streams.get(worker_id)
        if before is not None:
            before.put_nowait(None)
        stream = self.streams[worker_id] = asyncio.Queue()
        worker.heard, worker.seen_at = True, time.time()
        self.assign(worker.actions)
        return stream

    def unheard(self, worker_id: str, stream: object) -> None:
        """A stream has ended."""
        if self.streams.get(worker_id) is stream:
            del self.streams[worker_id]
            self.workers[worker_id].heard = False

    def leave(self, worker_id: str) -> None:
        self.worker(worker_id)
        stream = self.streams.get(worker_id)
        if stream is not None:
            stream.put_nowait(None)
            self.unheard(worker_id, stream)

    def beat(self, worker_id: str) -> None:
        worker = self.worker(worker_id)
        if worker.heard is False:
            raise Refused("FAILED_PRECONDITION", f"worker stream is not active: {worker_id}")
        stale = time.time() - worker.seen_at > FRESH
        worker.seen_at = time.time()
        if stale:
            self.assign(worker.actions)

    def pause(self, worker_id: str, *, paused: bool) -> Worker:
        worker = self.worker(worker_id)
        worker.paused = paused
        self._record.keep_worker(worker)
        self.assign(worker.actions)
        return worker

    # --- assigning ------------------------------------------------------------------------------
    def _wait(self, run: Run) -> None:
        heapq.heappush(self._waiting[run.action], (-run.priority, run.number, run.id))

    def assign(self, actions: Iterable[str]) -> None:
        """Give what waits for these actions to those who have room."""
        for action in set(actions):
            waiting, later = self._waiting[action], []
            while waiting:
                entry = heapq.heappop(waiting)
                run = self.runs.get(entry[2])
                if run is None or run.status != QUEUED:
                    continue
                worker = self._roomy(run) if run.due <= time.time() else None
                if worker is None:
                    later.append(entry)
                    if run.due <= time.time():
                        break  # the others of this action find no room either
                    continue
                run.status, run.worker, run.started_at = RUNNING, worker.id, time.time()
                self._count(run, 1)
                self._record.keep(run)
                self.streams[worker.id].put_nowait((run, False))
            for entry in later:
                heapq.heappush(waiting, entry)

    def _roomy(self, run: Run) -> Worker | None:
        now = time.time()
        roomy = [
            worker
            for worker_id in self.streams
            if not (worker := self.workers[worker_id]).paused
            and now - worker.seen_at < FRESH
            and run.action in worker.actions
            and all(
                self._used[worker_id][kind] + units <= worker.slots.get(kind, 0)
                for kind, units in run.slots.items()
            )
        ]
        return min(roomy, key=lambda worker: sum(self._used[worker.id].values()), default=None)

    def _count(self, run: Run, sign: int) -> None:
        for kind, units in run.slots.items():
            self._used[run.worker][kind] += sign * units

    # --- what becomes of runs -------------------------------------------------------------------
    def told(self, run_id: str, retry_count: int, kind: str, payload: str, final: bool) -> None:  # noqa: FBT001
        """An event of a worker. final: a failure after which it is not to be tried again."""
        run = self.runs.get(run_id)
        if run is None or run.status != RUNNING or run.retry_count != retry_count:
            return  # of a delivery that is not the last one
        if kind == "STARTED":
            run.told_started = True  # which is not worth writing down at once
        elif kind == COMPLETED:
            self._end(run, COMPLETED, output=payload)
        elif kind == FAILED:
            self.failed(run, payload, final=final)
        elif kind == CANCELLED:
            self.cancel([run_id])

    def failed(self, run: Run, error: str, *, final: bool) -> None:
        if final or run.failures >= run.retries:
            self._end(run, FAILED, error=error)
            return
        self._free(run)
        run.failures += 1
        self._again(run)

    def cancel(self, run_ids: Iterable[str], *, error: str = "") -> list[str]:
        found = [run for each in run_ids if (run := self.runs.get(each)) is not None]
        for run in found:
            stream = self.streams.get(run.worker) if run.status == RUNNING else None
            if stream is not None:
                stream.put_nowait((run, True))
            self._end(run, CANCELLED, error=error)
        return [run.id for run in found]

    def extend(self, run_id: str, by: str) -> None:
        run = self.runs.get(run_id)
        if run is None:
            raise Refused("NOT_FOUND", f"no run {run_id}")
        run.extended += self._seconds(by)
        self._record.keep(run)

    def _free(self, run: Run) -> None:
        if run.status == RUNNING:
            self._count(run, -1)

    def _again(self, run: Run) -> None:
        run.status, run.worker, run.queued_at, run.told_started = QUEUED, "", time.time(), False
        self._record.keep(run)
        self._wait(run)
        self.assign([run.action])

    def _end(self, run: Run, status: str, *, output: str = "", error: str = "") -> None:
        worker = self.workers.get(run.worker)
        self._free(run)
        run.status, run.output, run.error = status, output, error
        self._record.keep(run)
        self.runs.pop(run.id, None)
        for end in self._ends.pop(run.id, ()):
            if not end.done():
                end.set_result(run)
        if worker is not None:
            self.assign(worker.actions)

    # --- time -----------------------------------------------------------------------------------
    async def look(self) -> None:
        """After what is overdue, for ever."""
        while True:
            await asyncio.sleep(LOOKS)
            now = time.time()
            for run in list(self.runs.values()):
                self._look_at(run, now)
            self.assign(list(self._waiting))

    def _look_at(self, run: Run, now: float) -> None:
        if run.status == QUEUED:
            if now - run.queued_at > run.schedule_timeout and run.due <= now:
                self._end(run, CANCELLED, error="SCHEDULING_TIMED_OUT")
            return
        worker = self.workers.get(run.worker)
        if worker is None or now - worker.seen_at > self._lost:
            self._free(run)
            run.crashes += 1
            if run.crashes > MOST_CRASHES:
                self._end(run, FAILED, error="the worker was lost too often")
            else:
                self._again(run)
        elif now - run.started_at > run.execution_timeout + run.extended:
            stream = self.streams.get(run.worker)
            if stream is not None:
                stream.put_nowait((run, True))
            self.failed(run, "TIMED_OUT", final=False)
