"""Evidence that is made up: a flow that went as it should, and ways to spoil it."""

from evidences.building import Story, ran

__all__ = ["Story", "ran"]
