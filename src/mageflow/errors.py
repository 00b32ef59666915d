"""Every error that MageFlow raises; the tree of them is drawn in `mageflow_core.errors`."""

from mageflow_core.errors import *  # noqa: F403
