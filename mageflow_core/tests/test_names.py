"""Names and keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mageflow_core.errors import InvalidName
from mageflow_core.names import (
    callback_path,
    check_name,
    child_path,
    continuation_path,
    default_name,
    depth_of,
    is_below,
    key_of,
    parent_of,
    portable,
    role_of,
    split_key,
)

RUN_IDS = st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True)
STEPS = st.lists(
    st.one_of(
        st.integers(0, 10**6).map(lambda n: lambda path: child_path(path, n)),
        st.sampled_from(["fetch", "a.b", "A_1"]).map(lambda n: lambda path: child_path(path, n)),
        st.integers(1, 999).map(lambda n: lambda path: continuation_path(path, n)),
        st.integers(1, 3).map(lambda g: lambda path: callback_path(path, "error", 0, g)),
    ),
    max_size=6,
)


@given(RUN_IDS, STEPS)
def test_a_key_is_read_as_it_was_made(run_id: str, steps: list[object]) -> None:
    path = ""
    for step in steps:
        path = step(path)  # type: ignore[operator] # each makes a path of the one before
    assert split_key(key_of(run_id, path)) == (run_id, path)


@given(STEPS, STEPS)
def test_a_path_is_below_all_that_it_was_made_from(
    above: list[object], below: list[object]
) -> None:
    top = ""
    for step in above:
        top = step(top)  # type: ignore[operator] # as above
    path = top
    for step in below:
        path = step(path)  # type: ignore[operator] # as above
    assert is_below(path, top)
    assert not (is_below(top, path) and path != top)


@pytest.mark.parametrize(
    ("path", "top", "is_it"),
    [("/10", "/1", False), ("/1~1", "/1", True), ("/1/0", "/1", True), ("/ab", "/a", False)],
)
def test_a_name_that_begins_alike_is_not_below(path: str, top: str, *, is_it: bool) -> None:
    assert is_below(path, top) is is_it


def test_what_is_below_by_way_of_a_callback_can_be_left_out() -> None:
    assert is_below("/1/!success-0/2", "/1")
    assert not is_below("/1/!success-0/2", "/1", callbacks=False)
    assert is_below("/1/!success-0/2", "/1/!success-0", callbacks=False)


@given(STEPS)
def test_a_path_says_what_it_was_made_from_and_how_deep_that_is(steps: list[object]) -> None:
    made = [""]
    for step in steps:
        made.append(step(made[-1]))  # type: ignore[operator] # as above
    assert parent_of(made[0]) is None
    assert [parent_of(path) for path in made[1:]] == made[:-1]
    assert [depth_of(path) for path in made] == list(range(1, len(made) + 1))


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("", "root"),
        ("/0", "child"),
        ("/fetch", "child"),
        ("/0~1/a.b", "child"),
        ("/!success-0/2", "child"),
        ("~1", "continuation"),
        ("/3/a-b~12", "continuation"),
        ("/!error-0~1", "continuation"),
        ("/!error-0", "callback"),
        ("/0~2/!success-1@3", "callback"),
    ],
)
def test_a_path_says_what_its_node_is_to_the_one_above(path: str, role: str) -> None:
    assert role_of(path) == role


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a:b", "ä", "a" * 129, ".a"])
def test_a_name_that_is_not_portable_is_refused_with_what_is(name: str) -> None:
    with pytest.raises(InvalidName, match="lower-case letters, digits"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "0", "load-page", "a.b_c-d", "a" * 128])
def test_a_portable_name_is_taken_as_it_is(name: str) -> None:
    assert check_name(name) == name


def test_a_function_is_named_in_lower_case_without_its_underscores() -> None:
    assert default_name("_LoadPage") == "loadpage"


@pytest.mark.parametrize(
    ("native", "name"),
    [
        ("shop.tasks:Send_Mail", "shop.tasks.send_mail"),
        ("__main__:go", "main__.go"),
        ("a b/c", "a.b.c"),
        ("x" * 200, "x" * 128),
        ("__", ""),
    ],
)
def test_a_native_name_becomes_a_portable_one(native: str, name: str) -> None:
    assert portable(native) == name
