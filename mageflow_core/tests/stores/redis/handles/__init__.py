"""Redis stores as their own process would use them, and their listeners.

`Stores` opens any number of handles on one server: in real time, or at a time that is set by hand
and that all of them share.
"""

from handles.ear import Ear
from handles.handle import Handle, Player, asked_for
from handles.stores import Stores

__all__ = ["Ear", "Handle", "Player", "Stores", "asked_for"]
