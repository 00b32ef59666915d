"""S-VALUE: what is stored comes back byte for byte."""

from __future__ import annotations

import json

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Status

TEXTS = (
    "null", "0", "-0", "1.10", "1e5", "9007199254740993", "-123456789012345678901234567890",
    '""', '"\\u00e9 é \\ud83d\\ude00 😀 \\u0000 \\\\ \\" \\n"', '"  spaces  "', "true", "[]", "{}",
    "[[],{},[[]],[{}],null]", '{"a":{},"b":[],"":{"":[]},"é":{"😀":[{}]}}',
    '{ "kept" : [ 1 ,2 ] , "z":1, "a":2 }', '"{hash}:1"', '"\\u2028$1 %s {0} ]]>"',
)  # fmt: skip
KILO, MEGA = 1_024, 1_024 * 1_024


@requirement(
    "S-VALUE-01",
    "A message is given to tasks, and shown, byte for byte as it was stored: exact integers, "
    "empty lists and objects, spaces, escapes and any Unicode.",
)
async def messages(bench: Bench) -> None:
    for text in TEXTS:
        flow = await bench.start(chain(task(), task()), text=text)
        body = await flow.begin("/0")
        assert body.work.input.message == text, (text, body.work.input.message)
        assert (await flow.run()).message == text, text


@requirement(
    "S-VALUE-02",
    "A result is given to the next step, to callbacks and to readers byte for byte as its "
    "worker said it.",
)
async def results(bench: Bench) -> None:
    for text in TEXTS:
        flow = await bench.start(chain(task(), task(), ok=[task()]))
        await (await flow.begin("/0")).gives(text)
        second = await flow.begin("/1")
        assert second.work.input.previous == text, (text, second.work.input.previous)
        assert await flow.text("/0") == text, text
        await second.gives(text)
        callback = await flow.begin("/!success-0")
        assert callback.work.input.previous == text, text
        assert await flow.text() == text, text


@requirement(
    "S-VALUE-03",
    "Results of swarms and graphs are joined from those of their items and nodes, each byte for "
    "byte.",
)
async def joined(bench: Bench) -> None:
    flow = await bench.start(swarm(*[task()] * len(TEXTS), max_concurrency=None))
    for position, text in enumerate(TEXTS):
        await (await flow.begin(f"/{position}")).gives(text)
    assert await flow.text() == f"[{','.join(TEXTS)}]"
    assert list(await bench.store.values(flow.id, 0, 99)) == list(TEXTS)
    names = [f"n{position}" for position in range(len(TEXTS))]
    other = await bench.start(graph({name: task() for name in names}))
    for name, text in zip(names, TEXTS, strict=True):
        await (await other.begin(f"/{name}")).gives(text)
    pairs = ",".join(f'"{name}":{text}' for name, text in zip(names, TEXTS, strict=True))
    assert await other.text() == f"{{{pairs}}}"


@requirement(
    "S-VALUE-04",
    "Messages and results of 64 KB, 1 MB and 5 MB are kept whole, of one byte and of four bytes "
    "a character.",
)
async def large(bench: Bench) -> None:
    sizes = [(64 * KILO - 2, "a"), (64 * KILO, "😀"), (MEGA, "😀"), (5 * MEGA, "a")]
    for size, letter in sizes:
        text = json.dumps(letter * (size // len(letter.encode())), ensure_ascii=False)
        flow = await bench.start(chain(task(), task()), text=text)
        body = await flow.begin("/0")
        assert body.work.input.message == text, f"a message of {size} bytes was changed"
        await body.gives(text)
        second = await flow.begin("/1")
        assert second.work.input.previous == text, f"a result of {size} bytes was changed"
        await second.done(1)
        assert await flow.text("/0") == text, f"a result of {size} bytes was changed"


@requirement(
    "S-VALUE-05",
    "Arguments bound on tasks and on the containers around them come to the task as they were "
    "bound.",
)
async def arguments(bench: Bench) -> None:
    bound = {f"a{n}": json.loads(text) for n, text in enumerate(TEXTS)}
    bound["long"] = "😀" * 50_000
    flow = await bench.start(chain(task().bind(**bound), task()).bind(**bound))
    body = await flow.begin("/0")
    assert dict(body.work.signature.args) == bound
    assert [dict(args) for args in body.work.input.arguments] == [bound]


@requirement(
    "S-VALUE-06",
    "A node has no value until it is done; one that failed or was canceled has none.",
)
async def no_value(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), task(), task(), max_concurrency=2))
    body = await flow.begin("/0")
    assert [await flow.text(path) for path in ("", "/0", "/1", "/2")] == [None] * 4
    await body.fails()
    await flow.cancel("/1")
    assert [await flow.text(path) for path in ("/0", "/1")] == [None] * 2
    await (await flow.begin("/2")).done(0)
    assert await flow.text() == "[null,null,0]"


@requirement(
    "S-VALUE-07",
    "Results of a swarm are read in parts by position, with null where there is none, also "
    "while it runs and through the containers that end with it.",
)
async def read_in_parts(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(*[task()] * 5, max_concurrency=None)))
    await (await flow.begin("/0/0")).done("A")
    await (await flow.begin("/0/1")).fails()
    read = bench.store.values
    assert list(await read(flow.key("/0"), 0, 3)) == ['"A"', "null", "null"]
    assert list(await read(flow.key("/0"), 3, 10)) == ["null", "null"]
    assert list(await read(flow.key("/0"), 5, 10)) == []
    for position in (2, 3, 4):
        await (await flow.begin(f"/0/{position}")).done(position)
    assert list(await read(flow.id, 1, 3)) == ["null", "2", "3"]


@requirement(
    "S-VALUE-08",
    "The large result of a swarm's items passes up through containers by reference: it is the "
    "same text at each of them.",
)
async def by_reference(bench: Bench) -> None:
    flow = await bench.start(chain(chain(swarm(*[task()] * 3))))
    text = json.dumps("x" * MEGA)
    for position in range(3):
        await (await flow.begin(f"/0/0/{position}")).gives(text)
    whole = f"[{text},{text},{text}]"
    for path in ("", "/0", "/0/0"):
        assert await flow.text(path) == whole, f"at {path!r}"
    assert await flow.status() is Status.DONE
