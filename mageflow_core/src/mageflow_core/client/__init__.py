"""The client: apps, runs and nodes as people hold them."""

from mageflow_core.client.app import Mageflow
from mageflow_core.client.found import Found
from mageflow_core.client.node import Node
from mageflow_core.client.run import Run, Tree

__all__ = ["Found", "Mageflow", "Node", "Run", "Tree"]
