"""Flows that write down what they do, and the processes that run them."""

from mageflow_conformance.flows.app import make_app
from mageflow_conformance.flows.shapes import SHAPES, call

__all__ = ["SHAPES", "call", "make_app"]
