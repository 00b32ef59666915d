"""The runner: claims what a backend delivers, runs it, and reports how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from mageflow_core.backends.protocol import Delivery, Disposal, Handled
from mageflow_core.errors import (
    Interrupted,
    SignatureError,
    StoreUnavailable,
    UnknownTask,
)
from mageflow_core.failpoints import hit
from mageflow_core.failure import Cause
from mageflow_core.jsontext import check_size
from mageflow_core.machine import (
    ClaimRequest,
    Continued,
    Done,
    Failed,
    Mark,
    Outcome,
    Released,
    Report,
    Returned,
    Signal,
    Verdict,
)
from mageflow_core.names import split_key
from mageflow_core.runtime.body import Body, Stop, exit_of
from mageflow_core.runtime.doubts import Doubts
from mageflow_core.runtime.failing import failed
from mageflow_core.runtime.inputs import Inputs
from mageflow_core.runtime.insisting import PAUSE, insist
from mageflow_core.runtime.running import Running, running
from mageflow_core.runtime.threads import Threads
from mageflow_core.signatures.binding import Bound
from mageflow_core.signatures.branch import Forward, Pass
from mageflow_core.signatures.options import Options
from mageflow_core.signatures.signature import Signature
from mageflow_core.signatures.task import Task
from mageflow_core.stores.protocol import Store, Work

log = logging.getLogger("mageflow.runner")

AnyTask = Task[..., Any, Any]
REFUSED = {
    Verdict.SKIP: Disposal.SKIPPED,
    Verdict.PARK: Disposal.SKIPPED,
    Verdict.RELEASE: Disposal.RELEASE,
}
KEPT_OPTIONS = 1_000
Check = Callable[[Signature[Any], int], Signature[Any]]


class Runner:
    """Implements the adapters' `Runner`. `find` gives the task of a name, `check` refuses a
    signature that cannot follow at a depth, or gives it as it is to be stored. `gives_back`:
    backends where what is released goes to other workers without the store."""

    def __init__(
        self,
        *,
        store: Store,
        worker: str,
        find: Callable[[str], AnyTask | None],
        check: Check,
        threads: Threads,
        max_value_bytes: int,
        default_timeout: float | None,
        namespace: str,
        gives_back: Sequence[str] = (),
        default_backend: str = "",
    ) -> None:
        self.bodies: dict[str, Body] = {}
        self.doubts = Doubts(store, self.bodies)
        self.last_given = store.now()
        self._store = store
        self._worker = worker
        self._find = find
        self._check = check
        self._threads = threads
        self._max_value_bytes = max_value_bytes
        self._default_timeout = default_timeout
        self._namespace = namespace
        self._gives_back = frozenset(gives_back)
        self._default_backend = default_backend
        self._inputs = Inputs(store)
        self._claims = count(1)
        self._waiting: set[tuple[str, int]] = set()  # attempts that wait for a thread
        self._options: dict[tuple[str, int], tuple[Options, Options]] = {}

    # --- signals --------------------------------------------------------------------------------
    def on_signal(self, run_id: str, signal: Signal) -> None:
        why = Stop.CANCEL if signal.mark is Mark.CANCEL else Stop.INTERRUPT
        for body in list(self.bodies.values()):
            if body.concerns(run_id, signal.path, callbacks=why is Stop.INTERRUPT):
                body.stop(why)

    def stop_all(self) -> None:
        for body in list(self.bodies.values()):
            body.stop(Stop.SHUTDOWN)

    # --- one delivery ---------------------------------------------------------------------------
    async def run(self, delivery: Delivery) -> Handled:
        hit("runner.delivered")
        job = delivery.job
        task = self._find(job.task)
        self.last_given = self._store.now()
        # By sending, not by key: the next attempt may come before this one's report is answered.
        name = job.id
        if name in self.bodies:
            return Handled(Disposal.SKIPPED)
        if delivery.namespace not in (None, self._namespace):
            log.warning("%s came here from namespace %s", job.key, delivery.namespace)
            return Handled(Disposal.RELEASE)
        run_id, path = split_key(job.key)
        body = self.bodies[name] = Body(run_id, path)
        try:
            if task is None:
                await insist(lambda: self._store.unknown(job.key), job.key)
                # Else both would send it: twice as often each time.
                if (job.backend or self._default_backend) not in self._gives_back:
                    await insist(lambda: self._store.pass_on([job]), job.key)
                return Handled(Disposal.RELEASE)
            if task.is_async:
                return await self._claimed(delivery, task, body)
            return await self._claimed_in_thread(delivery, task, body)
        except Exception as error:  # of a store, or ours: no backend can do anything about it
            log.exception(_broken(body), job.key)
            return Handled(Disposal.FAILED, error)
        finally:
            body.over = True
            del self.bodies[name]

    async def _claimed_in_thread(self, delivery: Delivery, task: AnyTask, body: Body) -> Handled:
        job = delivery.job
        attempt = (job.key, job.attempt)
        if attempt in self._waiting:
            # It was sent again as nobody has claimed it. Each sending would hold a slot, until
            # there is none left for what needs no thread.
            return Handled(Disposal.SKIPPED)
        self._waiting.add(attempt)
        try:
            await self._threads.room.acquire()
        finally:
            self._waiting.discard(attempt)
        body.leave = self._threads.room.release
        try:
            return await self._claimed(delivery, task, body)
        finally:
            body.leave_room()

    async def _claimed(self, delivery: Delivery, task: AnyTask, body: Body) -> Handled:
        job = delivery.job
        claim_id = f"{self._worker}-{next(self._claims)}"
        request = ClaimRequest(body.path, job.attempt, claim_id, self._worker)
        hit("runner.claiming")
        claimed = await insist(lambda: self._store.claim(body.run_id, request), job.key)
        while claimed.too_early and body.stopped is None:
            # As when the store was away for longer than a lease. To let go of a job that waits in
            # a backend would leave it there until it counts as overdue.
            await asyncio.sleep(PAUSE)
            claimed = await insist(lambda: self._store.claim(body.run_id, request), job.key)
        work = claimed.work
        if work is None:
            return Handled(REFUSED[claimed.verdict])
        body.claim = work.claim
        self.doubts.claimed(body)
        hit("runner.claimed")
        cancelled: asyncio.CancelledError | None = None
        try:
            outcome, error = await self._attempt(task, work, body, delivery.native)
        except asyncio.CancelledError as stopped:  # the backend gives up on this delivery
            outcome, error, cancelled = Released(), None, stopped
        body.over = True
        body.leave_room()
        hit("runner.returned")
        failed_for_good = isinstance(outcome, Failed) and outcome.retry_in is None
        handled = Handled(Disposal.FAILED, error) if failed_for_good else Handled(Disposal.DONE)
        if delivery.ended is not None and cancelled is None and not body.thread_runs:
            delivery.ended(handled)
        if cancelled is None or not body.thread_runs:
            refused = await self._report(work, body, outcome)
            if refused is not None:
                log.info("the outcome of %s was refused: %s", work.key, refused)
        if cancelled is not None:
            raise cancelled
        if body.thread_runs:  # it keeps its slot, and the next attempt waits
            await body.thread_returned()
            await self._report(work, body, Returned())
        return handled

    async def _report(self, work: Work, body: Body, outcome: Outcome) -> str | None:
        report = Report(body.path, work.claim, work.fence, outcome)
        continues = isinstance(outcome, Continued)
        hit("runner.continuing" if continues else "runner.reporting")
        refused = await insist(lambda: self._store.report(body.run_id, report), work.key)
        hit("runner.continued" if continues else "runner.reported")
        return refused

    # --- one attempt ----------------------------------------------------------------------------
    async def _attempt(
        self, task: AnyTask, work: Work, body: Body, native: Any
    ) -> tuple[Outcome, BaseException | None]:
        try:
            bound = await self._inputs.bind(task, work, body, native)
        except StoreUnavailable:
            return Released(), None
        except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
            return failed(error, work, Cause.INPUT), error
        hit("runner.bound")
        if body.stopped is not None:  # before it has begun
            return Released(), None
        options = self._effective(task, work)
        used = bound.used_previous
        try:
            value = await self._call(task, work, body, bound, options)
        except (asyncio.CancelledError, Interrupted) as error:
            return self._stopped(error, work, body, options, used=used)
        except ThreadTimeout as error:
            late = TimeoutError(*error.args)
            retry = options.retry
            return (
                failed(late, work, Cause.TIMEOUT, retry=retry, held=True, used_previous=used),
                late,
            )
        except Exception as error:  # noqa: BLE001 - whatever a body raises is its failure
            return failed(error, work, Cause.BODY, retry=options.retry, used_previous=used), error
        return self._returned(task, work, bound, value)

    async def _call(
        self, task: AnyTask, work: Work, body: Body, bound: Bound, options: Options
    ) -> Any:
        timeout = options.timeout if options.timeout is not None else self._default_timeout
        timer = None
        if timeout is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(timeout, body.stop, Stop.TIMEOUT)
        token = running.set(Running(work.key, work.generation))
        try:
            if task.is_async:
                return await body.run_async(task.fn(**bound.kwargs))
            return await self._in_thread(task, body, bound, options, timeout)
        finally:
            running.reset(token)
            if timer is not None:
                timer.cancel()

    async def _in_thread(
        self, task: AnyTask, body: Body, bound: Bound, options: Options, timeout: float | None
    ) -> Any:
        """The result of a sync body, or `ThreadTimeout` while its thread still runs."""
        call = body.start_thread(
            self._threads, lambda: task.fn(**bound.kwargs), raises=options.interrupt == "raise"
        )
        late = asyncio.get_running_loop().create_future()
        body.on_timeout = partial(_settle, late)
        try:
            await asyncio.wait([call, late], return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()
        if not call.done():
            raise ThreadTimeout(f"took longer than its timeout of {timeout:g} s")
        value, error = call.result()
        if isinstance(error, (Exception, asyncio.CancelledError, Interrupted)):
            raise error
        if error is not None:
            raise exit_of(error) from error
        # A generator or coroutine function in disguise (a partial, a callable object).
        return await body.run_async(value) if asyncio.iscoroutine(value) else value

    def _stopped(
        self, error: BaseException, work: Work, body: Body, options: Options, *, used: bool
    ) -> tuple[Outcome, BaseException | None]:
        current = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and current and current.cancelling():
            raise error
        if body.stopped is Stop.TIMEOUT:
            timeout = options.timeout if options.timeout is not None else self._default_timeout
            late = TimeoutError(f"took longer than its timeout of {timeout:g} s")
            late.__cause__ = error
            return (
                failed(late, work, Cause.TIMEOUT, retry=options.retry, used_previous=used),
                late,
            )
        if body.stopped is not None:
            return Released(), None
        return failed(error, work, Cause.BODY, used_previous=used), error

    def _returned(
        self, task: AnyTask, work: Work, bound: Bound, value: Any
    ) -> tuple[Outcome, BaseException | None]:
        used = bound.used_previous
        try:
            if isinstance(value, Forward):
                signature = self._check(value.signature, work.depth)
                return Continued(signature=signature, message_only=True, used_previous=used), None
            if isinstance(value, Signature):
                return Continued(signature=self._check(value, work.depth), used_previous=used), None
            if isinstance(value, Pass):
                return Done(value="null", passes=True, used_previous=used), None
            text = self._text_of(task, value)
        except Exception as error:  # noqa: BLE001 - a serializer of the user's may raise anything
            return failed(error, work, _cause_of(error), used_previous=used), error
        return Done(value=text, passes=task.binder.passes_message, used_previous=used), None

    def _text_of(self, task: AnyTask, value: Any) -> str:
        text = task.binder.dump_result(value)
        what = f"the result of {task.name!r}"
        check_size(text, self._max_value_bytes, what, "return a reference")
        return text

    def _effective(self, task: AnyTask, work: Work) -> Options:
        """The signature's options over the task's. Kept for signatures that many nodes share."""
        said = work.signature.opts
        key = (task.name, id(said))
        kept = self._options.get(key)
        if kept is None or kept[0] is not said:
            if len(self._options) > KEPT_OPTIONS:
                self._options.clear()
            kept = self._options[key] = (said, said.over(task.options))
        return kept[1]


def _cause_of(error: Exception) -> Cause:
    """Why what a body returned cannot be taken."""
    if isinstance(error, UnknownTask):
        return Cause.UNKNOWN_TASK
    return Cause.LIMIT if isinstance(error, SignatureError) else Cause.RESULT


def _broken(body: Body) -> str:
    if body.claim is None:
        return "%s could not be claimed; it is sent again in time"
    return "%s stays claimed, as this process could not report of it, until its worker leaves"


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ThreadTimeout(Exception):
    """A sync body takes longer than its timeout, and its thread cannot be stopped."""
