"""What Hatchet's client logs and warns of: nothing that is not for the people who run flows."""

from __future__ import annotations

import logging
import sys
import warnings

_logger = logging.getLogger("hatchet")
BEGINS = "failed step run: "


class Discretion(logging.Filter):
    """Passes everything; of what has failed, the first line alone: its error's text may have values
    in it. The run has all of it, and so has Hatchet's dashboard."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and record.msg.startswith(BEGINS):
            record.msg = f"{record.msg.splitlines()[0]}; its run says more"
            record.exc_info = None
        return True


def be_discreet(*, quiet: bool) -> None:
    """From now on; twice is once. quiet: of an app that has no other use of Hatchet, which then is
    heard of trouble only, and not where the app itself writes."""
    # It uses what it advises others against.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"hatchet_sdk\.")
    if quiet:
        _logger.setLevel(logging.WARNING)
        for handler in _logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.setStream(sys.stderr)
    if not any(isinstance(each, Discretion) for each in _logger.filters):
        _logger.addFilter(Discretion())
