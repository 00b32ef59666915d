"""The store in a Redis server, or in a cluster of them."""

from mageflow_core.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
