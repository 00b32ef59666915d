"""Memory and Redis side by side: the same calls, and all that comes of them compared.

`Reference` is the memory store with the differences that are meant; `Beside` a Redis store on a
thread of its own, at a time that is set by hand; `ComparingStore` asks both. Inside `compared`
every `World` has such a store.
"""

from comparing.limits import Limits
from comparing.lua import altered
from comparing.store import ComparingStore
from comparing.worlds import compared

__all__ = ["ComparingStore", "Limits", "altered", "compared"]
