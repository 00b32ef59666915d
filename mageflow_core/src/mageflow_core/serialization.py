"""How values become JSON and come back: the text, and the plain form of bound arguments."""

from mageflow_core.jsontext import dumps, loads
from mageflow_core.plain import Exactly, merge, to_plain

__all__ = ["Exactly", "dumps", "loads", "merge", "to_plain"]
