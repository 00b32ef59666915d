"""A worker in a process that somebody else's command has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mageflow_core.client.serving import check_serves

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow


class Hosting:
    """Implements the adapters' `Host`, for one backend of an app."""

    def __init__(self, app: Mageflow, backend: str) -> None:
        self._app = app
        self._backend = backend

    async def begin(self, *, slots: int | None = None) -> None:
        check_serves(self._app)
        if slots is not None:
            settings = self._app.settings
            self._app.settings = settings.model_copy(update={"slots": slots})
        self._app.serves = frozenset({self._backend})
        try:
            await self._app.opened()
        except BaseException:
            self._app.serves = frozenset()
            raise

    async def end(self, grace: float | None = None) -> None:
        try:
            await self._app.close(grace=grace)
        finally:
            self._app.serves = frozenset()
