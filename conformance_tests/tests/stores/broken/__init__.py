"""Small broken stores, each with the requirements that it must fail."""

from broken.calls import CALLS
from broken.harness import BrokenHarness
from broken.jobs import JOBS
from broken.records import RECORDS
from broken.views import VIEWS

BROKEN = {**CALLS, **JOBS, **RECORDS, **VIEWS}

__all__ = ["BROKEN", "BrokenHarness"]
