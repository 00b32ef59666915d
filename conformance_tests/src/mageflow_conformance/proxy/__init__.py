"""A way to a Redis server on which replies get lost."""

from mageflow_conformance.proxy.proxy import Proxy, Rule
from mageflow_conformance.proxy.rules import CutOff, LostReply, step_names

__all__ = ["CutOff", "LostReply", "Proxy", "Rule", "step_names"]
