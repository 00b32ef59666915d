"""Where a frame of Redis's protocol ends."""

from __future__ import annotations

import pytest

from mageflow_conformance.proxy.frames import Frames, end_of_frame, words_of
from mageflow_conformance.servers.wire import encode

FRAMES = [
    b"+OK\r\n",
    b"-ERR no such thing\r\n",
    b":12\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$5\r\na\r\nbc\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n+x\r\n",
]


@pytest.mark.parametrize("frame", FRAMES, ids=repr)
def test_a_frame_ends_where_the_next_one_begins(frame: bytes) -> None:
    assert end_of_frame(frame + b"+next\r\n", 0) == len(frame)
    assert end_of_frame(b"+before\r\n" + frame, 9) == 9 + len(frame)


@pytest.mark.parametrize("frame", FRAMES, ids=repr)
def test_a_frame_of_which_something_is_missing_has_no_end(frame: bytes) -> None:
    for size in range(len(frame)):
        assert end_of_frame(frame[:size], 0) is None


def test_a_stream_is_cut_into_its_frames_however_it_comes() -> None:
    stream = b"".join(FRAMES)
    for size in (1, 2, 7, len(stream)):
        frames = Frames()
        chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert [frame for chunk in chunks for frame in frames.feed(chunk)] == FRAMES


def test_the_words_of_a_request_are_read() -> None:
    assert words_of(encode(("EVALSHA", "abc", 1, "key", ""))) == ["EVALSHA", "abc", "1", "key", ""]


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        end_of_frame(b"%1\r\n", 0)
