"""The Redis store and its workers with their long times made short, so that tests see them pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from mageflow_conformance.stores.harness import Times
from mageflow_conformance.stores.harnesses.redis import CONFIRM_WITHIN, shortened

if TYPE_CHECKING:
    from mageflow_core.stores.redis.steps import Steps

TIMES = Times(unconfirmed_after=0.3, resend_after=0.4, reservation=0.6)

RENEWAL = 0.6  # seconds; then a worker that has nothing to do looks for what waits elsewhere


def hastened_steps() -> Steps:
    """The scripts that such a store calls."""
    return shortened(TIMES)


@contextmanager
def hastened() -> Iterator[None]:
    """While this lasts, stores that are made in this process send jobs again after fractions of a
    second that nobody has confirmed, and workers after a second what waits while they have nothing
    to do."""
    from mageflow_core.runtime import renewal  # noqa: PLC0415  # where it is in use
    from mageflow_core.stores.redis import confirming, store  # noqa: PLC0415

    with ExitStack() as stack:
        stack.enter_context(patch.object(store, "Steps", hastened_steps))
        stack.enter_context(patch.object(store, "RESEND_AFTER", TIMES.resend_after))
        stack.enter_context(patch.object(confirming, "WITHIN", CONFIRM_WITHIN))
        stack.enter_context(patch.object(renewal, "RENEWAL", RENEWAL))
        yield
