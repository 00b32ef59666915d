"""The same random events in memory and in Redis: every record, effect, answer and error is the
same after each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from comparing import ComparingStore, Limits, compared
from comparing.variety import varied
from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from simulation import World, check_settled, run_now, task
from simulation.profile import THOROUGH, examples
from simulation.trees import flows, shape
from test_flows import play
from test_steering_anything import NUMBER, TIMERS, VERBS, Steering

from mageflow_conformance.servers import RedisServer
from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Done, Policy, Steer, Verb
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import NewRun, Query, Until

WIDTHS = [400, 8, 5, 3]
NOW = 1_800_000_000.0  # times have as many digits as they have in life
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
LIMITS = st.builds(
    Limits,
    lease=st.sampled_from([1e7, 30.0]),
    inline=st.sampled_from([65_536, 20, 5]),
    fields=st.sampled_from([2_000, 3, 1]),
    items=st.sampled_from([1_000, 2]),
    ranges=st.sampled_from([50, 1]),
    company=st.booleans(),
    inbox=st.booleans(),
)


pytestmark = pytest.mark.timeout(0 if THOROUGH else 180)


@pytest.fixture(scope="module", autouse=True)
def _comparing(_shared: RedisServer) -> Iterator[None]:
    with compared(_shared.url):
        yield


@examples(12, 2_000)
@given(flow=flows(), data=st.data(), width=st.sampled_from(WIDTHS), company=st.booleans())
def test_any_flow_under_any_schedule_is_the_same_in_both(
    flow: Signature[Any], data: st.DataObject, width: int, company: bool
) -> None:
    # Given
    note(shape(flow))
    with (
        Limits(company=company).hold(),
        patch("mageflow_core.machine.draft.STEP_WIDTH", width),
        patch("mageflow_core.machine.timers.STEP_WIDTH", width),
    ):
        world = World(policy=Policy(max_crashes=10_000))
        world.start(flow, {"n": 1})
        # When
        play(world, data.draw)
        # Then
        world.finish(lambda size: data.draw(st.integers(0, size - 1)) if size < 8 else 0)


def test_a_run_that_expires_while_it_is_reserved_leaves_nothing() -> None:
    # Given a run that nobody has started in time, and that became a part of another just now
    world = World(policy=Policy(pending_ttl=50.0), start_time=NOW)
    store = world.store
    assert isinstance(store, ComparingStore)
    run_now(store.create(NewRun(id="s", signature=task("ok-a"), message=None)))
    world.clock.time += 60.0
    assert run_now(store.reserve("s", "r"))
    run_now(store.alias("s", "r/0"))
    # When
    run_now(store.work())
    # Then
    assert "s" not in store.runs
    store.assert_nothing_remains()


class SteeringBoth(Steering):
    """Adds to steering: several runs, all that a store does besides, and its own limits."""

    @initialize(
        flow=flows(opens=True),
        limits=LIMITS,
        width=st.sampled_from(WIDTHS),
        policy=st.builds(
            Policy,
            max_crashes=st.sampled_from([0, 3]),
            max_continuations=st.sampled_from([2, 20]),
            max_nodes=st.sampled_from([6, 1_000]),
            history=st.sampled_from([3, 500]),
            result_ttl=st.just(1e9),
            pending_ttl=st.sampled_from([50.0, 86_400.0]),
            cancel_grace=st.sampled_from([5.0, 60.0]),
            unknown_task_timeout=st.sampled_from([15.0, 3_600.0]),
        ),
        deadline=st.sampled_from([None, None, None, 60.0]),
        seed=NUMBER,
    )
    def begin(  # noqa: PLR0917 - by name
        self,
        flow: Signature[Any],
        limits: Limits,
        width: int,
        policy: Policy,
        deadline: float | None,
        seed: int,
    ) -> None:
        self.stack = ExitStack()
        self.patches = []
        self.stack.enter_context(patch("mageflow_core.machine.draft.STEP_WIDTH", width))
        self.stack.enter_context(patch("mageflow_core.machine.timers.STEP_WIDTH", width))
        self.stack.enter_context(limits.hold())
        flow = varied(flow, seed, NOW)
        if deadline is not None:
            flow = flow.options(deadline=deadline)
        note(f"{shape(flow)} width={width} {limits} {policy} deadline={deadline}")
        self.world = World(policy=policy, start_time=NOW)
        self.world.start(flow, {"n": 1})
        self.count = 0

    @property
    def both(self) -> ComparingStore:
        store = self.world.store
        assert isinstance(store, ComparingStore)
        return store

    # --- further runs -----------------------------------------------------------------------------
    def some_run(self, n: int) -> str:
        """One that there is or was."""
        return f"s{n % (self.count + 1)}" if n % 3 else "r"

    @rule(flow=flows(depth=2), message=st.none() | JSON, n=NUMBER, ttl=st.sampled_from([None, 9.0]))
    def another_run(self, flow: Signature[Any], message: Any, n: int, ttl: float | None) -> None:
        self.count += 1
        new = NewRun(
            id=f"s{self.count}",
            signature=varied(flow, n, self.world.clock.time),
            message=None if message is None else json.dumps(message),
            content=f"c{n % 2}",
            start_key=None if n % 2 else f"k{n}",
            ttl=ttl,
        )
        run_now(self.world.store.create(new))
        run_now(self.world.store.create(new))

    @rule(n=NUMBER, flow=flows(depth=1))
    def the_same_run_again(self, n: int, flow: Signature[Any]) -> None:
        run = self.some_run(n)
        if run in self.world.store.runs:
            new = NewRun(id=run, signature=flow, message="1", content=f"c{n % 2}")
            run_now(self.world.store.create(new))

    @rule(n=NUMBER, message=JSON)
    def start_a_stored_run(self, n: int, message: Any) -> None:
        self.tried(self.world.store.start(self.some_run(n), json.dumps(message), f"start{n % 2}"))

    @rule(n=NUMBER)
    def reserve_a_stored_run(self, n: int) -> None:
        self.tried(self.world.store.reserve(self.some_run(n), "rs"[n % 2]))

    @rule(n=NUMBER)
    def a_reserved_run_becomes_an_alias(self, n: int) -> None:
        self.tried(self.world.store.alias(self.some_run(n), f"r/{n % 5}"))

    @rule(n=NUMBER, verb=st.sampled_from(VERBS))
    def steer_another_run(self, n: int, verb: str) -> None:
        path = ["", "", "/0", "/n1", "/1~1", "/00", "//", "/!success-0"][n % 8]
        self.tried(self.world.store.steer(self.some_run(n), Steer(path, Verb(verb), f"q{n % 4}")))

    def tried(self, asked: Any) -> None:
        """In both: what is not there is an error in both."""
        try:
            run_now(asked)
        except RunNotFound as error:
            note(repr(error))

    # --- workers ----------------------------------------------------------------------------------
    @precondition(lambda self: self.has_attempts())
    @rule(n=NUMBER, value=JSON, passes=st.booleans(), used=st.booleans())
    def a_body_gives_any_value(self, n: int, value: Any, passes: bool, used: bool) -> None:
        attempt = self.some_attempt(n)
        if not attempt.held:
            text = json.dumps(value, ensure_ascii=bool(n % 2))
            attempt.says(Done(value=text, passes=passes, used_previous=used))

    @rule(n=NUMBER, know=st.booleans())
    def a_worker_renews_its_lease(self, n: int, know: bool) -> None:
        tasks = [job.task for job in self.world.jobs] if know else []
        self.world.renew(f"w{n % 4}", *tasks)

    @precondition(lambda self: bool(self.world.jobs))
    @rule(n=NUMBER)
    def a_worker_does_not_know_a_task(self, n: int) -> None:
        run_now(self.world.store.unknown(self.world.jobs[n % len(self.world.jobs)].key))

    @rule(n=NUMBER)
    def some_jobs_are_confirmed(self, n: int) -> None:
        run_now(self.world.store.sent(self.world.jobs[n % 7 :: 2]))

    @rule(seconds=st.sampled_from([10.0, 60.0, 1_000.0]))
    def a_worker_is_idle(self, seconds: float) -> None:
        run_now(self.world.store.idle(self.world.clock.time - seconds))

    # --- time -------------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([0.125, 10.0, 30.0, 4_000.0]))
    def time_passes_and_nobody_looks(self, seconds: float) -> None:
        self.world.clock.time += seconds

    @rule(n=NUMBER, kind=st.sampled_from(TIMERS))
    def a_timer_of_any_run_comes_up(self, n: int, kind: str) -> None:
        run = self.some_run(n)
        if run in self.world.store.runs:
            self.world.fire(kind, "", run)

    # --- reading ----------------------------------------------------------------------------------
    @rule(
        label=st.sampled_from([{}, {"team": "a"}, {"team": "b"}]),
        name=st.sampled_from([None, "first"]),
        limit=st.integers(1, 3),
        since=st.sampled_from([None, NOW, NOW + 10.0005]),
        until=st.sampled_from([None, NOW, NOW + 10.0005]),
    )
    def find(
        self,
        label: dict[str, str],
        name: str | None,
        limit: int,
        since: float | None,
        until: float | None,
    ) -> None:
        run_now(
            self.world.store.find(
                Query(labels=label, name=name, limit=limit, since=since, until=until)
            )
        )

    @precondition(lambda self: len(self.both.waits) < 3)
    @rule(n=NUMBER, until=st.sampled_from(["ended", "settled"]))
    def somebody_waits(self, n: int, until: Until) -> None:
        path = self.some_path(n) if n % 5 else "/nowhere"
        self.both.begin_waiting(f"r{path}", until)

    @precondition(lambda self: len(self.both.waits) < 5)
    @rule(n=NUMBER, until=st.sampled_from(["ended", "settled"]))
    def somebody_waits_for_a_whole_run(self, n: int, until: Until) -> None:
        self.both.begin_waiting(self.some_run(n), until)

    # --- in the end -------------------------------------------------------------------------------
    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.stack:
            self.world.finish()
            if "r" in self.world.store.runs:
                check_settled(self.world.store, "r")
            self.both.assert_nothing_remains()


SteeringBoth.TestCase.settings = examples(12, 3_000, steps=40)
TestSteeringBoth = SteeringBoth.TestCase
