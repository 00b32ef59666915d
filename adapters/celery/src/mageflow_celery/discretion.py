"""What Celery logs of jobs that fail: not the error's text, which may have values in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mageflow_core.backends import JOB

_logger = logging.getLogger("celery.app.trace")


class Discretion(logging.Filter):
    """Passes everything; of jobs, the kind of the error alone. The run has all of it, and so has
    the event that dashboards show."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.args
        if isinstance(said, Mapping) and str(said.get("name", "")).startswith(JOB):
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                kind = f"{type(error).__name__}; its run says more"
                record.args = {**said, "exc": kind, "traceback": ""}
                record.__dict__["data"] = record.args
                record.exc_info = None
        return True


def be_discreet() -> None:
    """From now on; twice is once."""
    if not any(isinstance(each, Discretion) for each in _logger.filters):
        _logger.addFilter(Discretion())
