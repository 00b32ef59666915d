"""Stores by the scheme of their URL."""

from __future__ import annotations

from mageflow_core.loading import STORES, load
from mageflow_core.stores.protocol import Store
from mageflow_core.urls import scheme_of


def load_store(url: str) -> type[Store]:
    """The class for this URL. Raises `SettingsError` for what is no URL, else as `load` does."""
    return load(STORES, scheme_of(url))
