"""S-OUTBOX: jobs between the step that made them due and the claim that takes them."""

from __future__ import annotations

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.requirement import Instead, requirement
from mageflow_core.machine import Verdict
from mageflow_core.stores.protocol import NewRun

LONG_IDLE = 600.0  # seconds that a worker says that it had nothing to do


@requirement(
    "S-OUTBOX-01",
    "A job has the node's key, its attempt, the task and what its options say of backend, queue "
    "and priority; no two sendings share an id.",
)
async def what_a_job_says(bench: Bench) -> None:
    special = task("work-a", queue="slow", priority="low", backend="bench")
    flow = await bench.start(chain(special, task("work-b")))
    (job,) = flow.jobs()
    assert (job.key, job.attempt, job.task) == (flow.key("/0"), 1, "work-a")
    assert (job.backend, job.queue, job.priority) == ("bench", "slow", "low")
    await (await flow.begin("/0")).released()
    await (await flow.begin("/0")).done(1)
    (other,) = flow.jobs("/1")
    assert (other.task, other.queue, other.priority) == ("work-b", None, None)
    ids = [each.id for each in flow.jobs()]
    assert len(set(ids)) == len(ids) == 3, ids


@requirement(
    "S-OUTBOX-02",
    "A job that nobody has confirmed as sent is sent again after 10 s, under another id and "
    "with the same attempt, until somebody does or it is claimed.",
    wants="hasten",
)
async def unconfirmed(bench: Bench) -> None:
    wait = bench.times.unconfirmed_after
    bench.confirms = False
    began = bench.store.now()
    flow = await bench.start(task())
    await bench.passes(wait / 2)
    early = len(flow.jobs()) > 1
    assert not early or bench.store.now() - began >= wait, "it was sent again too early"
    for count, about in ((2, "an unconfirmed job"), (3, "one that is unconfirmed still")):
        await bench.eventually(
            lambda: len(flow.jobs()) == count,  # noqa: B023
            within=wait + 5.0,
            about=about,
        )
    assert {job.attempt for job in flow.jobs()} == {1}
    assert len({job.id for job in flow.jobs()}) == 3
    body = await flow.begin()
    await bench.passes(2 * wait)
    assert len(flow.jobs()) == 3, "a claim confirms"
    await body.done(1)


@requirement(
    "S-OUTBOX-03",
    "A job that was confirmed is not sent again by itself; where a worker has been idle for "
    "long enough it is, once.",
    wants="hasten",
)
async def confirmed(bench: Bench) -> None:
    flow = await bench.start(task())
    await bench.calm()
    await bench.passes(2 * bench.times.unconfirmed_after + bench.times.resend_after)
    assert len(flow.jobs()) == 1, "a confirmed job was sent again by itself"
    now = bench.store.now()
    await bench.store.idle(now - bench.times.resend_after / 2)
    await bench.calm()
    assert len(flow.jobs()) == 1, "that worker has not been idle for long enough"
    await bench.store.idle(now - LONG_IDLE)
    await bench.eventually(lambda: len(flow.jobs()) == 2, about="a job that was lost")
    await bench.store.idle(now - LONG_IDLE)
    await bench.calm()
    assert len(flow.jobs()) == 2
    await flow.begin()


@requirement(
    "S-OUTBOX-04",
    "Each time that a waiting job is sent again its wait doubles.",
    wants="hasten",
)
async def doubling(bench: Bench) -> None:
    resend = bench.times.resend_after
    began = bench.store.now()
    flow = await bench.start(task())
    await bench.calm()
    for sent, wait in ((1, resend), (2, 2 * resend)):
        await bench.passes(0.7 * wait)
        asked = bench.store.now()
        await bench.store.idle(asked - LONG_IDLE)
        await bench.calm()
        if len(flow.jobs()) > sent:  # on a slow machine that may have been its time
            assert bench.store.now() - began >= wait, f"it was sent again before {wait} s"
        else:
            await bench.passes(0.5 * wait)
            asked = bench.store.now()
            await bench.store.idle(asked - LONG_IDLE)
            await bench.eventually(lambda: len(flow.jobs()) == sent + 1, about="a waiting job")  # noqa: B023
        began = asked


@requirement(
    "S-OUTBOX-05",
    "The claim of a job that was sent much later than one that waits shows that that one was "
    "lost: it is sent again.",
    wants="hasten",
)
async def shown_by_a_claim(bench: Bench) -> None:
    lost = await bench.start(task())
    await bench.passes(1.5 * bench.times.resend_after)
    assert len(lost.jobs()) == 1
    later = await bench.start(task())
    await later.begin()
    await bench.first.renew()
    await bench.eventually(lambda: len(lost.jobs()) == 2, about="a job that was lost")


@requirement(
    "S-OUTBOX-06",
    "To confirm an older sending, or a job that is gone, confirms nothing.",
    wants="hasten",
)
async def older_sending(bench: Bench) -> None:
    bench.confirms = False
    flow = await bench.start(task())
    (first,) = flow.jobs()
    await (await flow.begin()).released()
    await bench.store.sent([first, first._replace(key="nobody")])
    assert len(flow.jobs()) == 2
    await bench.eventually(
        lambda: len(flow.jobs()) == 3,
        within=bench.times.unconfirmed_after + 5.0,
        about="a job that nobody has confirmed",
    )


@requirement(
    "S-OUTBOX-07",
    "Jobs of what was canceled are not sent again, or are skipped by the claim; nothing of them "
    "is left in the end.",
    wants="hasten",
)
async def canceled(bench: Bench) -> None:
    bench.confirms = False
    flow = await bench.start(swarm(*tasks(3)))
    await flow.cancel()
    await bench.passes(2 * bench.times.unconfirmed_after)
    for job in flow.jobs():
        assert (await flow.deliver(job)).verdict is Verdict.SKIP
    sent = len(flow.jobs())
    await bench.passes(2 * bench.times.unconfirmed_after)
    assert len(flow.jobs()) == sent, "what was skipped is sent again"


@requirement(
    "S-OUTBOX-09",
    "A call that is asked again may hand out once more, under another id, what it has made due "
    "and nobody has claimed, as its answer may have been lost; never what was claimed.",
)
async def asked_again(bench: Bench) -> None:
    new = NewRun(id="again", signature=chain(task(), task()), message="1", content="c")
    flow = bench.flow("again")
    for _ in range(2):
        await bench.store.create(new)
    body = await flow.runs_once("/0")
    for _ in range(2):
        await body.done(1)
    await flow.runs_once("/1")
    ids = [job.id for job in flow.jobs()]
    assert len(set(ids)) == len(ids), ids
    await bench.store.create(new)
    await body.done(1)
    await bench.calm()
    assert len(flow.jobs()) == len(ids), "what was claimed is sent again"


async def nobody_else(bench: Bench) -> None:
    flow = await bench.start(task(backend="elsewhere"))
    await bench.store.pass_on(flow.jobs())
    assert len(flow.jobs()) == 1
    await flow.begin()


@requirement(
    "S-OUTBOX-08",
    "Jobs that a process passes on are handed to one that has opened their backend.",
    claim="shared",
    instead=Instead(
        text="Passing jobs on changes nothing: there is nobody else.", check=nobody_else
    ),
)
async def passed_on(bench: Bench) -> None:
    other = await bench.another()
    other.backends = frozenset({"elsewhere"})
    await other.renew()
    flow = await bench.start(task(backend="elsewhere"))
    (job,) = flow.jobs()
    bench.first.jobs.clear()
    await bench.store.pass_on([job])
    await bench.eventually(
        lambda: [each.key for each in other.jobs] == [job.key], about="a job that was passed on"
    )
    assert bench.first.jobs == []
    body = await flow.begin(by=other)
    await body.done(1)
