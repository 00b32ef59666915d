"""A memory store with everything around it played by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from mageflow_core import machine
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Continued,
    Done,
    Draft,
    Failed,
    Job,
    Node,
    Outcome,
    Policy,
    Refusal,
    Released,
    Report,
    Returned,
    Run,
    Signal,
    Status,
    Steer,
    Steered,
    Verb,
    Verdict,
)
from mageflow_core.machine.lifecycle import bodies_below
from mageflow_core.names import split_key
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.protocol import Claimed, NewRun, NodeView, Work, WorkerInfo
from simulation.bodies import failure_of, outcome_of
from simulation.invariants import check
from simulation.ledger import Ledger, snapshot

T = TypeVar("T")
P = ParamSpec("P")
A = TypeVar("A")

RUN = "r"
EVERYTHING = 20_000  # moves after which a world that does not come to rest is called stuck


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError("it waits")


class ManualClock:
    def __init__(self, time: float = 1_000.0) -> None:
        self.time = time

    def now(self) -> float:
        return self.time

    async def wait(self, until: float | None, wake: asyncio.Event) -> None:
        raise NotImplementedError


class WatchedStore(MemoryStore):
    """Shows each step to a ledger before and after it is applied."""

    def __init__(self, *, policy: Policy, clock: ManualClock, ledger: Ledger | None) -> None:
        super().__init__(policy=policy, clock=clock)
        self.ledger = ledger
        self.widest = 0

    def step(
        self,
        run_id: str,
        function: Callable[Concatenate[Draft, P], A],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        if self.ledger is not None:
            self.ledger.about = f"{function.__name__} {args}"
        return super().step(run_id, function, *args, **kwargs)

    def _apply(self, run_id: str, state: RunState, draft: Draft) -> None:
        self.widest = max(self.widest, len(draft.nodes) + draft.looked)
        if self.ledger is not None:
            self.ledger.before(run_id, state, draft)
        super()._apply(run_id, state, draft)
        if self.ledger is not None:
            self.ledger.after(run_id, self.runs.get(run_id))


@dataclass
class World:
    """watch: check each step and recount all that is stored after it; off where runs are wide."""

    policy: Policy = field(default_factory=Policy)
    watch: bool = True
    start_time: float = 1_000.0
    make_store: ClassVar[Callable[..., WatchedStore]] = WatchedStore

    def __post_init__(self) -> None:
        self.clock = ManualClock(self.start_time)
        self.ledger = Ledger() if self.watch else None
        self.store = type(self).make_store(policy=self.policy, clock=self.clock, ledger=self.ledger)
        self.store._random.seed(0)
        self.inbox: list[Job] = []  # sent to the backend, not delivered yet
        self.jobs: list[Job] = []  # all that were ever sent
        self.sent: list[Job] = []  # taken by the backend, which is not confirmed yet
        self.signals: list[Signal] = []
        self.wakes: list[float] = []
        self.attempts: dict[str, Attempt] = {}  # running bodies, by claim
        self.zombies: list[Attempt] = []  # bodies whose claim was lost or whose outcome was said
        self.numbers = count(1)
        run_now(self.store.open(self))

    # --- what the store tells -------------------------------------------------------------------
    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.inbox += jobs
        self.jobs += jobs
        self.sent += jobs

    def on_signal(self, run_id: str, signal: Signal) -> None:
        self.signals.append(signal)

    def on_due(self, time: float) -> None:
        self.wakes.append(time)

    def on_silence(self) -> None:
        raise AssertionError("a store in memory misses nothing")

    # --- clients --------------------------------------------------------------------------------
    def create(self, signature: Signature[Any], run: str = RUN, **how: Any) -> None:
        run_now(self.store.create(NewRun(id=run, signature=signature, message=None, **how)))
        self.check()

    def start(
        self, signature: Signature[Any], message: Any = None, run: str = RUN, **how: Any
    ) -> None:
        text = json.dumps(message)
        run_now(self.store.create(NewRun(id=run, signature=signature, message=text, **how)))
        self.check()

    def start_stored(self, message: Any = None, run: str = RUN, start_id: str = "s1") -> str | None:
        def ask() -> str | None:
            return run_now(self.store.start(run, json.dumps(message), start_id))

        return self.ask_twice(ask)

    def steer(
        self, verb: str, path: str = "", run: str = RUN, *, call: str | None = None
    ) -> Steered:
        """call: the id of the request."""
        request = Steer(path, Verb(verb), call or self.new_id())
        before = self.snapshot()
        answer = self.ask_twice(lambda: run_now(self.store.steer(run, request)))
        if not answer.applied:
            assert self.snapshot() == before, f"{request} was refused and changed something"
        return answer

    def suspend(self, path: str = "") -> Steered:
        return self.steer("suspend", path)

    def resume(self, path: str = "") -> Steered:
        return self.steer("resume", path)

    def interrupt(self, path: str = "") -> Steered:
        return self.steer("interrupt", path)

    def cancel(self, path: str = "") -> Steered:
        return self.steer("cancel", path)

    def retry(self, path: str = "") -> Steered:
        return self.steer("retry", path)

    def add(self, path: str, *items: Signature[Any], call: str | None = None) -> Any:
        request = Add(path, call or self.new_id(), items)
        before = self.snapshot()
        answer = self.ask_twice(lambda: run_now(self.store.add(RUN, request)))
        if isinstance(answer, Refusal):
            assert self.snapshot() == before, "a refused add has changed something"
        return answer

    def close(self, path: str = "") -> Refusal | None:
        return self.ask_twice(lambda: run_now(self.store.close_swarm(RUN, path)))

    # --- workers --------------------------------------------------------------------------------
    def deliver(self, job: Job, worker: str = "w1") -> Claimed:
        """The backend calls a worker with a job; the worker asks, twice: a reply may be lost."""
        run_id, path = split_key(job.key)
        request = ClaimRequest(path, job.attempt, self.new_id(), worker)
        before = self.snapshot()

        def ask() -> tuple[Verdict, Work | None]:
            claimed = run_now(self.store.claim(run_id, request))
            return claimed.verdict, claimed.work

        verdict, work = self.ask_twice(ask)
        claimed = Claimed(verdict, "", work)
        if claimed.work is not None:
            self.attempts[claimed.work.claim] = Attempt(self, run_id, path, worker, claimed.work)
        elif claimed.verdict is Verdict.SKIP and "outbox" in before:
            after = self.snapshot()
            for kept in (before, after):  # what can never run is dropped from these when seen
                kept.pop("outbox")
                kept.pop("parked")
            assert after == before, f"a refused claim has changed something: {request}"
        return claimed

    def begin(self, path: str = "", worker: str = "w1", run: str = RUN) -> Attempt:
        """Deliver the job of a node that is in the inbox; it must be granted."""
        job = next((j for j in self.inbox if j.key == run + path), None)
        assert job is not None, f"no job for {path!r}, only {[j.key for j in self.inbox]}"
        self.inbox.remove(job)
        claimed = self.deliver(job, worker)
        assert claimed.work is not None, f"{path!r} was not granted: {claimed.verdict}"
        return self.attempts[claimed.work.claim]

    def knock(self, path: str = "", worker: str = "w1") -> Claimed:
        """Deliver the latest job of a node once more, whether or not it was delivered before."""
        job = next(j for j in reversed(self.jobs) if j.key == RUN + path)
        if job in self.inbox:
            self.inbox.remove(job)
        return self.deliver(job, worker)

    def knock_run(self, run: str) -> None:
        """Claim and end the only task of a run whose job is not looked at."""
        request = ClaimRequest("", 1, self.new_id(), "w1")
        claimed = run_now(self.store.claim(run, request))
        assert claimed.work is not None
        Attempt(self, run, "", "w1", claimed.work).done()

    def die(self, worker: str, *, crashed: bool = True) -> None:
        run_now(self.store.leave(worker, crashed=crashed))
        for attempt in [a for a in self.attempts.values() if a.worker == worker]:
            attempt.gone()
        self.check()

    def renew(self, worker: str, *tasks: str) -> None:
        run_now(self.store.renew(WorkerInfo(id=worker, tasks=frozenset(tasks), slots=1)))

    # --- time -----------------------------------------------------------------------------------
    def work(self) -> float | None:
        """One call of the reconciler, after the dispatcher has confirmed what it sent."""
        run_now(self.store.sent(self.sent))
        self.sent.clear()
        again = run_now(self.store.work())
        self.check()
        return again

    def settle_timers(self) -> None:
        """Serve all that is due now."""
        for _ in range(EVERYTHING):
            again = self.work()
            if again is None or again > self.clock.time:
                return
        raise AssertionError("timers are due for ever")

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping where something is due on the way."""
        end = self.clock.time + seconds
        self.settle_timers()
        while (again := self.work()) is not None and again <= end:
            self.clock.time = max(self.clock.time, again)
            self.settle_timers()
        self.clock.time = end

    def fire(self, kind: str, path: str, run: str = RUN) -> None:
        """A timer comes up that may not be due at all."""
        node = self.node(path, run)
        if kind == "tell" and node.role in ("root", "callback"):
            return  # there never was such a timer
        if kind == "idle" and node.signature.kind != "swarm":
            return
        if kind in ("deadline", "expire", "reserved"):
            path = ""
        self.store.step(run, machine.fire, kind, path, known=True)  # type: ignore[arg-type]
        self.check()

    # --- reading --------------------------------------------------------------------------------
    def node(self, path: str = "", run: str = RUN) -> Node:
        node = self.store.runs[run].node(path)
        assert node is not None, f"nothing is stored of {path!r}"
        return node

    def bodies_below(self, path: str = "") -> int:
        draft = Draft(self.store.runs[RUN], self.store.now(), self.store.policy)
        return bodies_below(draft, self.node(path))

    def run_record(self, run: str = RUN) -> Run:
        return self.store.runs[run].run

    def view(self, path: str = "", run: str = RUN) -> NodeView:
        return run_now(self.store.node(run + path))

    def status(self, path: str = "", run: str = RUN) -> Status:
        return self.view(path, run).status

    def value(self, path: str = "", run: str = RUN) -> Any:
        text = run_now(self.store.value(run + path))
        return None if text is None else json.loads(text)

    def error(self, path: str = "") -> ErrorInfo:
        error = self.view(path).error
        assert error is not None, f"{path!r} has no error"
        return error

    def due_jobs(self, run: str = RUN) -> list[str]:
        """Paths of the jobs in the inbox, in their order."""
        return [split_key(j.key)[1] for j in self.inbox if split_key(j.key)[0] == run]

    def children(self, path: str = "") -> dict[str, Status]:
        views = run_now(self.store.children(RUN + path, 0, 10_000))
        return {split_key(v.key)[1]: v.status for v in views}

    # --- all at once ----------------------------------------------------------------------------
    def serve(self, choose: Callable[[int], int] | None = None, run: str = RUN) -> None:
        """Live workers take every job there is, in the order that `choose` gives, and run it."""
        for _ in range(EVERYTHING):
            if not self.inbox:
                return
            job = self.inbox.pop(choose(len(self.inbox)) if choose else 0)
            claimed = self.deliver(job)
            if claimed.work is not None:
                self.attempts[claimed.work.claim].ends_as_named()
        raise AssertionError("jobs come for ever")

    def finish(self, choose: Callable[[int], int] | None = None, run: str = RUN) -> None:
        """Nobody holds the run any more: it must end."""
        for attempt in list(self.attempts.values()):
            attempt.ends_as_named()
        for _ in range(1_000):
            self._let_go(run)
            self.serve(choose)
            again = self.work()
            if self.inbox:
                continue
            if run not in self.store.runs or self.run_record(run).settled_at is not None:
                return
            self.clock.time = max(self.clock.time, again or self.clock.time + 600.0)
            run_now(self.store.idle(self.clock.time - 600.0))
        raise AssertionError(f"{run} does not end: {self._unended(run)}")

    def _let_go(self, run: str) -> None:
        """Resume what is suspended; close what is open."""
        if run not in self.store.runs:
            return
        for path, node in list(self.store.runs[run].nodes.items()):
            if node.mark is not None and node.mark.value in ("suspend", "interrupt"):
                self.steer("resume", path, run)
            if node.signature.kind == "swarm" and node.status is Status.ACTIVE:
                self.close(path)

    def _unended(self, run: str) -> dict[str, Node]:
        return {p: n for p, n in self.store.runs[run].nodes.items() if not n.status.ended}

    # --- checking -------------------------------------------------------------------------------
    def check(self) -> None:
        if self.watch:
            check(self.store)

    def snapshot(self) -> dict[str, Any]:
        """All that is stored, to be compared: empty where nobody watches."""
        return snapshot(self.store) if self.watch else {}

    def ask_twice(self, ask: Callable[[], T]) -> T:
        """Ask, lose the reply, ask again: answered as before, and nothing has changed."""
        answer = ask()
        self.check()
        if self.watch:
            before = self.snapshot()
            again = ask()
            assert again == answer, f"first {answer}, then {again}"
            assert self.snapshot() == before, "asking again has changed something"
        return answer

    def new_id(self) -> str:
        return f"id{next(self.numbers)}"


@dataclass
class Attempt:
    """A running body, as its worker sees it."""

    world: World
    run: str
    path: str
    worker: str
    work: Work

    def says(self, outcome: Outcome) -> str | None:
        """Report; gives why it was refused."""
        world = self.world
        message = Report(self.path, self.work.claim, self.work.fence, outcome)
        before = world.snapshot()
        answers: list[str | None] = []

        def ask() -> bool:
            answers.append(run_now(world.store.report(self.run, message)))
            return answers[-1] is None

        world.ask_twice(ask)
        answer = answers[0]
        if answer in ("the claim is lost", "no such node", "no such run"):
            assert world.snapshot() == before, "a zombie has changed something"
        if not (isinstance(outcome, Failed) and outcome.held and answer is None):
            self.gone()
        return answer

    def gone(self) -> None:
        """The body is over, or nobody knows of it any more; it may still say something."""
        self.world.attempts.pop(self.work.claim, None)
        self.world.zombies.append(self)

    def done(self, value: Any = None, **how: Any) -> str | None:
        return self.says(Done(value=json.dumps(value), **how))

    def fails(
        self,
        retry_in: float | None = None,
        *,
        held: bool = False,
        cause: Cause = Cause.BODY,
        text: str = "no luck",
    ) -> str | None:
        failure = failure_of(self.work, cause, text)
        return self.says(Failed(failure=failure, retry_in=retry_in, held=held))

    def returns(self, signature: Signature[Any], **how: Any) -> str | None:
        return self.says(Continued(signature=signature, **how))

    def released(self) -> str | None:
        return self.says(Released())

    def thread_returns(self) -> str | None:
        return self.says(Returned())

    def loses_lease(self, *, crashed: bool = True) -> None:
        run_now(self.world.store.lose(self.run + self.path, crashed=crashed))
        self.gone()
        self.world.check()

    @property
    def held(self) -> bool:
        node = self.world.store.runs[self.run].node(self.path)
        return node is not None and node.claim is not None and node.claim.held

    @property
    def told_to_stop(self) -> bool:
        return not run_now(self.world.store.holds(self.run + self.path, self.work.claim))

    def ends_as_named(self) -> str | None:
        """What its task's name says."""
        if self.run in self.world.store.runs and self.held:
            return self.thread_returns()
        return self.says(outcome_of(self.work))
