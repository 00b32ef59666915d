"""Random trees under random steering: every invariant is recounted after each step."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from simulation import World, check_settled, task
from simulation.profile import examples
from simulation.trees import flows, shape

from mageflow_core.machine import Policy, Status
from mageflow_core.signatures.signature import Signature

NUMBER = st.integers(0, 10_000)
VERBS = ["suspend", "resume", "interrupt", "cancel", "retry"]
TIMERS = ["due", "sweep", "tell", "unpark", "unknown", "deadline", "expire", "reserved"]


class Steering(RuleBasedStateMachine):
    """`World` asks everything twice, and checks after each step what a run may never be."""

    world: World

    @initialize(
        flow=flows(opens=True),
        width=st.sampled_from([400, 8, 5, 3]),
        deadline=st.sampled_from([None, None, None, 60.0]),
        crashes=st.sampled_from([0, 3]),
    )
    def begin(self, flow: Signature[Any], width: int, deadline: float | None, crashes: int) -> None:
        self.patches = [
            patch("mageflow_core.machine.draft.STEP_WIDTH", width),
            patch("mageflow_core.machine.timers.STEP_WIDTH", width),
        ]
        for patched in self.patches:
            patched.start()
        if deadline is not None:
            flow = flow.options(deadline=deadline)
        note(f"{shape(flow)} width={width} deadline={deadline} max_crashes={crashes}")
        self.world = World(policy=Policy(max_crashes=crashes, max_continuations=20))
        self.world.start(flow, {"n": 1})

    # --- choosing -------------------------------------------------------------------------------
    def some_path(self, n: int) -> str:
        """Of any node of the run, also of one whose turn has not come."""
        nodes = self.world.store.runs["r"].nodes
        paths = {*nodes}
        for path, node in nodes.items():
            names = getattr(node.signature, "order", None) or range(len(node.signature.children))
            paths.update(f"{path}/{name}" for name in names)
        return sorted(paths)[n % len(paths)]

    def some_attempt(self, n: int) -> Any:
        running = list(self.world.attempts.values())
        return running[n % len(running)]

    def has_attempts(self) -> bool:
        return bool(self.world.attempts)

    def has_jobs(self) -> bool:
        return bool(self.world.inbox)

    # --- workers --------------------------------------------------------------------------------
    @precondition(has_jobs)
    @rule(n=NUMBER)
    def deliver(self, n: int) -> None:
        self.world.deliver(self.world.inbox.pop(n % len(self.world.inbox)), f"w{n % 3}")

    @precondition(has_jobs)
    @rule()
    def deliver_all(self) -> None:
        while self.world.inbox:
            self.world.deliver(self.world.inbox.pop(0), "w1")

    @precondition(lambda self: bool(self.world.jobs))
    @rule(n=NUMBER)
    def deliver_an_old_job_again(self, n: int) -> None:
        self.world.deliver(self.world.jobs[n % len(self.world.jobs)])

    @precondition(has_jobs)
    @rule(n=NUMBER)
    def the_backend_loses_a_job(self, n: int) -> None:
        self.world.inbox.pop(n % len(self.world.inbox))

    @precondition(has_attempts)
    @rule(n=NUMBER)
    def a_body_ends(self, n: int) -> None:
        self.some_attempt(n).ends_as_named()

    @precondition(has_attempts)
    @rule(n=NUMBER, again=st.booleans(), held=st.booleans())
    def a_body_fails(self, n: int, again: bool, held: bool) -> None:
        attempt = self.some_attempt(n)
        if attempt.held:
            attempt.thread_returns()
        else:
            attempt.fails(retry_in=5.0 if again else None, held=held and again)

    @precondition(has_attempts)
    @rule(n=NUMBER, flow=flows(depth=1))
    def a_body_returns_a_signature(self, n: int, flow: Signature[Any]) -> None:
        attempt = self.some_attempt(n)
        if not attempt.held:
            attempt.returns(flow, message_only=bool(n % 2))

    @precondition(has_attempts)
    @rule(n=NUMBER)
    def bodies_that_were_told_to_stop_do(self, n: int) -> None:
        for attempt in list(self.world.attempts.values()):
            if attempt.told_to_stop and not attempt.held:
                attempt.released()

    @precondition(has_attempts)
    @rule(n=NUMBER)
    def a_lease_is_lost(self, n: int) -> None:
        self.some_attempt(n).loses_lease(crashed=bool(n % 2))

    @rule(n=NUMBER)
    def a_worker_dies(self, n: int) -> None:
        self.world.die(f"w{n % 3}", crashed=bool(n % 2))

    @precondition(lambda self: bool(self.world.zombies))
    @rule(n=NUMBER)
    def a_zombie_says_something(self, n: int) -> None:
        self.world.zombies[n % len(self.world.zombies)].ends_as_named()

    # --- clients --------------------------------------------------------------------------------
    @rule(n=NUMBER, verb=st.sampled_from(VERBS))
    def steer(self, n: int, verb: str) -> None:
        self.world.steer(verb, self.some_path(n))

    @rule(n=NUMBER)
    def retry_something_that_failed(self, n: int) -> None:
        nodes = self.world.store.runs["r"].nodes.values()
        over = [x.path for x in nodes if x.status in (Status.FAILED, Status.CANCELED)]
        if over:
            self.world.retry(over[n % len(over)])

    @rule(n=NUMBER)
    def resume_something(self, n: int) -> None:
        nodes = self.world.store.runs["r"].nodes.values()
        marked = [x.path for x in nodes if x.mark is not None]
        if marked:
            self.world.resume(marked[n % len(marked)])

    @rule(n=NUMBER, flow=flows(depth=1))
    def add_items(self, n: int, flow: Signature[Any]) -> None:
        path = self.some_swarm(n)
        if path is not None:
            self.world.add(path, *[flow, task("ok-added")][: n % 3])

    @rule(n=NUMBER)
    def close_a_swarm(self, n: int) -> None:
        path = self.some_swarm(n)
        if path is not None:
            self.world.close(path)

    def some_swarm(self, n: int) -> str | None:
        nodes = self.world.store.runs["r"].nodes.values()
        found = [x.path for x in nodes if x.signature.kind == "swarm"]
        return found[n % len(found)] if found else None

    # --- time -----------------------------------------------------------------------------------
    @rule()
    def timers_are_served(self) -> None:
        self.world.work()

    @rule(seconds=st.sampled_from([1.0, 6.0, 25.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(n=NUMBER, kind=st.sampled_from(TIMERS))
    def a_timer_comes_up_for_nothing(self, n: int, kind: str) -> None:
        paths = list(self.world.store.runs["r"].nodes)
        self.world.fire(kind, paths[n % len(paths)])

    # --- in the end -----------------------------------------------------------------------------
    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.finish()
            check_settled(self.world.store, "r")
        finally:
            for patched in self.patches:
                patched.stop()


Steering.TestCase.settings = examples(150, 6_000, steps=40)
TestSteering = Steering.TestCase
