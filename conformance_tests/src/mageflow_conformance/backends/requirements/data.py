"""B-DATA: what goes in comes out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.tasks.data import (
    GIVEN,
    UNFIT,
    Bill,
    Line,
    an_order,
    digest_of,
)
from mageflow_conformance.flows import call
from mageflow_conformance.witness import BEGUN, FAILED
from mageflow_core import Cause, ErrorInfo, Node, Status, chain, graph, swarm
from mageflow_core.errors import MessageTooLarge, NotSerializable, RunEnded

MB = 1_000_000
LIMIT = 200_000  # bytes

# Of all kinds that JSON has; what others mistake for another one is beside it.
VALUES: dict[str, Any] = {
    "nothing": None,
    "flags": [True, False, 1, 0, 1.0, 0.0],
    "whole": [0, -1, 2**31, 2**53 + 1, -(2**63) - 1, 10**30],
    "broken": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 123456789.125],
    "text": ["", " ", "true", "1", "null", "\\", '"', "</script>", "%s {0}"],
    "empty": [[], {}, [[]], [{}], {"": {}}],
    "nested": [[[[[[[[[[{"a": [{"b": [[], {"c": [0]}]}]}]]]]]]]]]],
    "many": {f"key {i}": [i, str(i)] for i in range(100)},
}
TEXTS = [
    "grüße, 例え, привет, مرحبا, e\u0301",
    "\U0001f9d9\u200d\u2640\ufe0f \U00010348 \U0010ffff",
    "\u0000 and \u0001\u001f\u007f\u0080",
    "\u2028\u2029\ufeff\ufffd\uffff",
    "a\nb\r\nc\td",
]


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is not 1.0, nor True, and 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


async def error_of(node: Node[Any]) -> ErrorInfo:
    """Why it failed; both ways of asking say the same."""
    with raises(RunEnded) as ended:
        await node.result(timeout=30)
    error = await node.error()
    assert error is not None
    assert error == ended.raised.error
    return error


# --- size -----------------------------------------------------------------------------------------
@requirement(
    "B-DATA-01",
    "Messages, arguments and results of 1 MB and of 5 MB arrive as they were sent.",
)
async def large(stage: Stage) -> None:
    await stage.worker()
    for size, text in ((MB, "x"), (5 * MB, "0123456789\n"), (MB // 3, "例")):
        sent = (text * size)[:size]
        flow = chain(call("swell", size=size), call("digest"))
        runs = [
            await stage.mf.start(call("echo", value=sent)),
            await stage.mf.start(call("echo"), {"value": [sent]}),
            await stage.mf.start(flow, {"text": text}),
        ]
        argument, message, digest = [await run.result(timeout=30) for run in runs]
        assert argument == sent
        assert message == [sent]
        assert digest == digest_of(sent)
        for run in runs:
            await stage.kept(run)


@requirement(
    "B-DATA-02",
    "A message, an argument or a result beyond `max_value_bytes` is refused with MessageTooLarge, "
    "which names that limit: what was to be started is not there, and what has made such a result "
    "has failed, and is not run again.",
    settings={"max_value_bytes": LIMIT},
)
async def too_large(stage: Stage) -> None:
    await stage.worker()
    text = "x" * LIMIT
    flows: list[tuple[Any, Any]] = [
        (call("echo"), {"value": text}),
        (call("echo", value=text), {}),
        (swarm([call("echo", value=1), call("echo", value=[text])]), {}),
        (chain(call("echo", value=1)).bind(value=text), {}),
        (call("echo", value=1).on_success(call("digest", text=text)), {}),
    ]
    for flow, message in flows:
        with raises(MessageTooLarge) as refused:
            await stage.mf.start(flow, message)
        assert "max_value_bytes" in str(refused.raised)
        assert f"{LIMIT:,}" in str(refused.raised)
    assert await stage.mf.find() == []
    swollen = call("swell", text="x", size=LIMIT).options(retries=2)
    run = await stage.mf.start(chain(swollen, call("digest")))
    error = await error_of(run)
    assert (error.cause, error.task) == (Cause.RESULT, "swell")
    assert "MessageTooLarge" in error.type
    assert f"{LIMIT:,}" in error.message
    assert len(stage.ledger.of(BEGUN, below=run.id)) == 1
    await stage.kept(run)
    fits = await stage.mf.start(call("swell", text="x", size=LIMIT - 2))
    assert len(await fits.result(timeout=20)) == LIMIT - 2


# --- kinds ----------------------------------------------------------------------------------------
@requirement(
    "B-DATA-03",
    "Text of any kind is carried exactly, as values and as keys: beyond the basic plane, with NUL "
    "and other control characters, uncomposed; what is no Unicode is refused at once.",
)
async def text_of_any_kind(stage: Stage) -> None:
    await stage.worker()
    for given in (TEXTS, {text: text for text in TEXTS}):
        runs = [
            await stage.mf.start(call("echo", value=given)),
            await stage.mf.start(call("echo"), {"value": given}),
            await stage.mf.start(chain(call("echo"), call("echo")), {"value": {"value": given}}),
        ]
        for run in runs:
            assert same(await run.result(timeout=20), given)
            await stage.kept(run)
    for text in ("\ud83d", "\udc00 and more"):
        with raises(NotSerializable):
            await stage.mf.start(call("echo"), {"value": text})
        with raises(NotSerializable):
            await stage.mf.start(call("echo", value=[text]))
    assert len(await stage.mf.find()) == 6


@requirement(
    "B-DATA-04",
    "Every value of JSON is the same at its way's end, numbers exactly: as message, argument and "
    "result, through chains, swarms and graphs.",
)
async def kinds_of_values(stage: Stage) -> None:
    await stage.worker()
    echo = call("echo")
    wrapped = {"value": {"value": VALUES}}
    ways: list[tuple[Any, Any, Any]] = [
        (call("echo", value=VALUES), {}, VALUES),
        (echo, {"value": VALUES}, VALUES),
        (chain(echo, echo), wrapped, VALUES),
        (swarm([echo, chain(echo)]), {"value": VALUES}, [VALUES, VALUES]),
        (graph({"a": echo, "b": echo}), {"value": VALUES}, {"a": VALUES, "b": VALUES}),
        (
            graph({"value": echo, "b": echo}, depends_on={"b": ["value"]}),
            {"value": VALUES},
            {"b": VALUES},
        ),
    ]
    for flow, message, expected in ways:
        run = await stage.mf.start(flow, message)
        assert same(await run.result(timeout=20), expected), flow.kind
        await stage.kept(run)
    for value in VALUES.values():
        run = await stage.mf.start(chain(call("echo", value=value), call("echo", value=value)))
        assert same(await run.result(timeout=20), value)


# --- models ---------------------------------------------------------------------------------------
@requirement(
    "B-DATA-05",
    "Bodies get and give models: of pydantic, data classes, typed dictionaries. Who knows the task "
    "gets its result as the model that it promises, others as plain JSON.",
)
async def models(stage: Stage) -> None:
    await stage.worker()
    order = an_order()
    plain = order.model_dump(mode="json")
    run = await stage.mf.start(call("bill"), plain)
    assert await run.result(timeout=20) == Bill(order=order.number, total=Decimal(4))
    bare = await stage.watch(bare=True)
    assert await (await bare.load(run.id)).result(timeout=20) == {
        "order": order.number,
        "total": "4",
    }
    flow = chain(call("bill"), call("first_line"), call("double"), call("double"))
    chained = await stage.mf.start(flow, plain)
    assert await chained.result(timeout=20) == Line("spoon", 12)
    typed = await stage.mf.start(chain(call("next_door"), call("next_door"), name="doors"))
    error = await error_of(typed)
    assert error.cause is Cause.INPUT
    there = await stage.mf.start(
        chain(call("next_door"), call("next_door")), {"city": "Bree", "house": "3"}
    )
    assert await there.result(timeout=20) == {"city": "Bree", "house": 7}
    for each in (run, chained, typed, there):
        await each.settled(timeout=20)
    given = [row.more["of"] for row in stage.ledger.of(GIVEN, below=chained.id)]
    assert given == [["Order", "Line"], ["Order", "Bill"], ["Line"], ["Line"]]


# --- what does not fit ----------------------------------------------------------------------------
@requirement(
    "B-DATA-06",
    "Input that does not validate fails at once, without retries and before the body begins; the "
    "error names the task and the field.",
)
async def invalid_input(stage: Stage) -> None:
    await stage.worker()
    stranger = await stage.watch(bare=True)
    plain = an_order().model_dump(mode="json")
    lines = [{"article": "spoon", "count": 1}, {"article": "fork", "count": "some"}]
    wrong: list[tuple[str, Any]] = [
        ("lines[1].count", {**plain, "lines": lines}),
        ("number", {**plain, "number": 1.5}),
        ("due", {key: value for key, value in plain.items() if key != "due"}),
    ]
    for field, message in wrong:
        run = await stranger.start(call("bill"), message)
        error = await error_of(run)
        assert (error.cause, error.task, error.attempts) == (Cause.INPUT, "bill", 1)
        assert field in error.message, error.message
        await run.settled(timeout=20)
    unknown = await stranger.start(call("bill", rate=2), plain)
    error = await error_of(unknown)
    assert error.cause is Cause.INPUT
    assert "'rate'" in error.message
    assert stage.ledger.of(BEGUN) == []
    right = await stranger.start(call("bill"), plain)
    await stage.kept(right)
    assert await right.status() is Status.DONE


@requirement(
    "B-DATA-07",
    "A result that JSON cannot say, or that is not what the task promises, fails the run with an "
    "error that says where the value is; the body is not run again.",
)
async def unfit_results(stage: Stage) -> None:
    await stage.worker()
    runs = {what: await stage.mf.start(call("unfit", what=what)) for what in UNFIT}
    for what, run in runs.items():
        error = await error_of(run)
        assert (error.cause, error.task, error.attempts) == (Cause.RESULT, "unfit", 1), what
        assert error.type.endswith("NotSerializable"), what
        assert "'unfit': result" in error.message, what
        await stage.kept(run)
    errors = {what: await runs[what].error() for what in ("not a number", "bytes")}
    assert "rows[1]" in str(errors["not a number"])
    assert "rows[0]" in str(errors["bytes"])
    run = await stage.mf.start(call("not_as_promised"))
    error = await error_of(run)
    assert (error.cause, error.attempts) == (Cause.RESULT, 1)
    assert "total" in error.message
    assert "Bill" in error.message
    rows = stage.ledger.of(BEGUN)
    assert len(rows) == len({row.key for row in rows}) == len(UNFIT) + 1
    assert stage.ledger.of(FAILED) == []


# --- shared ---------------------------------------------------------------------------------------
@requirement(
    "B-DATA-08",
    "All items of a swarm get its message, and what is bound for all of them, as they were: what a "
    "body does to its copy no other one sees.",
)
async def shared(stage: Stage) -> None:
    await stage.worker()
    count, size = 30, 200_000
    own = {"kept": {"deep": [1]}}
    items = [call("alter", i=i) for i in range(count)]
    flow = swarm(items, max_concurrency=10).bind(own=own)
    run = await stage.mf.start(flow, {"text": "x" * size, "seen": [7]})
    results = await run.result(timeout=30)
    assert results == [{"i": i, "size": size, "seen": [7], "own": own} for i in range(count)]
    await stage.kept(run)
