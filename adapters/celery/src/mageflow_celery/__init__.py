"""MageFlow on Celery."""

from mageflow_celery.backend import CeleryBackend
from mageflow_celery.settings import CelerySettings

__all__ = ["CeleryBackend", "CelerySettings"]
