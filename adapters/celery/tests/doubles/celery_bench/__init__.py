"""Apps of one test, as so many processes would be."""

from __future__ import annotations

import warnings

from celery.exceptions import SecurityWarning

from mageflow_conformance.backends import bench
from mageflow_core import Mageflow


class Bench(bench.Bench):
    async def worker(self, app: Mageflow) -> bench.Worker:
        """In processes of Celery's, which inherit what is to be done with warnings."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # tests may run as root
            warnings.simplefilter("ignore", DeprecationWarning)
            return await super().worker(app)
