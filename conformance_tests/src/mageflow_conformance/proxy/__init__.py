"""A way to a Redis server on which replies get lost."""

from mageflow_conformance.proxy.proxy import Proxy, Rule
from mageflow_conformance.proxy.rules import Away, Counting, CutOff, LostReply, step_names

__all__ = ["Away", "Counting", "CutOff", "LostReply", "Proxy", "Rule", "step_names"]
