"""MageFlow on Taskiq."""

from mageflow_taskiq.backend import TaskiqBackend
from mageflow_taskiq.engines.streams import StreamBroker
from mageflow_taskiq.settings import TaskiqSettings

__all__ = ["StreamBroker", "TaskiqBackend", "TaskiqSettings"]
