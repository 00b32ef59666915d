"""Where one word of Redis's protocol ends and the next one begins."""

from __future__ import annotations

from collections.abc import Iterator

SIMPLE = frozenset(b"+-:")


class Frames:
    """Cuts a stream of requests or of replies into its whole frames, as bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._rest += data
        while (end := end_of_frame(self._rest, 0)) is not None:
            frame = bytes(self._rest[:end])
            del self._rest[:end]
            yield frame


def end_of_frame(data: bytes | bytearray, start: int) -> int | None:
    """Just behind the frame that begins there; `None` where not all of it is there."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = data[start], line + 2
    if kind in SIMPLE:
        return end
    size = int(data[start + 1 : line])
    if kind == ord("$"):
        end += size + 2 if size >= 0 else 0
        return end if end <= len(data) else None
    if kind != ord("*"):
        raise ValueError(f"no frame of this protocol begins with {chr(kind)!r}")
    for _ in range(max(0, size)):
        item = end_of_frame(data, end)
        if item is None:
            return None
        end = item
    return end


def words_of(request: bytes) -> list[str]:
    """The words of a request."""
    parts = request.split(b"\r\n")
    return [part.decode("utf-8", "replace") for part in parts[2::2]]
