"""Scripts are put together from files, and their errors are told in terms of these."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from hypothesis import given
from hypothesis import strategies as st

import mageflow_core.stores.redis as package
from mageflow_conformance.servers import RedisServer
from mageflow_core.stores.redis.scripts import Script, compose

CORE = Path(__file__).parents[3]
LUA = Path(package.__path__[0]) / "lua"
FILES = sorted(path.stem for path in LUA.glob("*.lua"))


def test_a_script_is_its_files_one_after_the_other() -> None:
    script = compose("both", ["a", "b"], instead={"a": "local a = 1\n", "b": "return a"})
    assert script.name == "both"
    assert script.text == "-- a\nlocal a = 1\n-- b\nreturn a\n"


def test_parts_are_read_from_the_package() -> None:
    name = FILES[0]
    text = (LUA / f"{name}.lua").read_text("utf-8")
    assert compose("x", [name]).text.startswith(f"-- {name}\n{text}")


def test_a_part_can_be_replaced() -> None:
    script = compose("x", [FILES[0], FILES[1]], instead={FILES[0]: "-- nothing\n"})
    assert script.text.startswith(f"-- {FILES[0]}\n-- nothing\n-- {FILES[1]}\n")


def test_a_part_that_is_missing_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"no-such\.lua"):
        compose("x", ["no-such"])


def test_the_digest_is_the_one_that_a_server_gives(server: RedisServer) -> None:
    script = compose("x", ["a"], instead={"a": "return 'ü'"})
    assert server.call("SCRIPT", "LOAD", script.text) == script.sha


def test_scripts_are_equal_that_have_the_same_text() -> None:
    one, same, other = (compose("x", ["a"], instead={"a": text}) for text in ("1", "1", "2"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_the_text_is_not_in_the_way_when_one_is_printed() -> None:
    assert repr(compose("x", ["a"], instead={"a": "return 1"})) == "Script(name='x')"


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        ("user_script:2: bad", "a.lua:1: bad"),
        ("user_script:3: bad", "a.lua:2: bad"),
        ("user_script:5: bad script: f, on @user_script:5.", "b.lua:1: bad script: f, on b.lua:1."),
        ("@user_script:1: @user_script: 1: -OOM", "a.lua:0: @user_script: 1: -OOM"),
        ("user_script:99: bad", "b.lua:95: bad"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_an_error_is_told_with_the_file_and_its_line(error: str, explained: str) -> None:
    script = compose("x", ["a", "b"], instead={"a": "1\n2\n", "b": "1"})
    assert script.explain(error) == explained


def test_the_lines_of_a_part_that_is_run_late_are_found_too() -> None:
    script = compose("x", ["a", "b"], instead={"a": "1\n2\n", "b": "1"}, lazy={"a": "t"})
    assert script.explain("user_script:3: bad") == "a.lua:2: bad"
    assert script.explain("user_script:6: bad") == "b.lua:1: bad"


def test_a_script_that_was_not_put_together_has_lines_of_its_own() -> None:
    assert Script("x", "return 1", "0" * 40).explain("user_script:7: bad") == "x:7: bad"


@given(st.lists(st.lists(st.sampled_from(["x", "--y", ""]), max_size=5), min_size=1, max_size=5))
def test_every_line_is_found_again(parts: list[list[str]]) -> None:
    texts = {f"p{n}": "".join(f"{line}\n" for line in lines) for n, lines in enumerate(parts)}
    script = compose("x", list(texts), instead=texts)
    lines = script.text.splitlines()
    seen: dict[str, list[str]] = {name: [] for name in texts}
    for number, line in enumerate(lines, 1):
        name, _, own = script.explain(f"user_script:{number}").partition(".lua:")
        assert (own == "0") == (len(seen[name]) == 0 and line == f"-- {name}")
        seen[name].append(line)
    assert {name: "".join(f"{line}\n" for line in own[1:]) for name, own in seen.items()} == texts


def test_the_wheel_has_all_files(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(CORE)).build(directory=str(tmp_path), versions=["standard"])
    names = ZipFile(wheel).namelist()
    packed = {name.rpartition("/")[2] for name in names if name.endswith(".lua")}
    assert packed == {path.name for path in LUA.glob("*.lua")}
