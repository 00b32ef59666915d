"""MageFlow on Hatchet."""

import warnings

with warnings.catch_warnings():
    # Its client uses names of its own libraries that are about to go, which is nobody's to hear
    # who runs flows, and no reason to refuse it where warnings are errors.
    warnings.simplefilter("ignore", DeprecationWarning)
    import hatchet_sdk  # noqa: F401

from mageflow_hatchet.backend import HatchetBackend
from mageflow_hatchet.settings import HatchetSettings

__all__ = ["HatchetBackend", "HatchetSettings"]
