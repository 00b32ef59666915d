"""What has to be raised."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Self, TypeVar

E = TypeVar("E", bound=BaseException)


class Raises(Generic[E]):
    """Around what has to raise this. raised: what it was, afterwards."""

    raised: E

    def __init__(self, kind: type[E]) -> None:
        self._kind = kind

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            raise AssertionError(f"{self._kind.__name__} is to be raised here, and is not")
        if not isinstance(error, self._kind):
            return False
        self.raised = error
        return True


def raises(kind: type[E]) -> Raises[E]:
    return Raises(kind)
