"""What the engine's own command is given to serve, as `client`: that of the suite's app, whose
worker is hosted in the processes that the command starts.

Imported by that command. Which app it is, a variable of its environment says, as JSON: `ledger` and
`settings`.
"""

from __future__ import annotations

import json
import os
import threading
import time

from mageflow_conformance.backends.life import HOSTED, app_of
from mageflow_conformance.flows import roles
from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.ledger import Ledger
from mageflow_core import Mageflow

LOOKS = 0.02  # seconds between two looks


def _tell(mf: Mageflow, ledger: Ledger) -> None:
    """Say once that it works; in a process of the command's that runs no tasks, never."""
    while mf.worker_id is None:
        time.sleep(LOOKS)
    ledger.note(roles.SERVING, worker=mf.worker_id)


_said = json.loads(os.environ[HOSTED])
_ledger = Ledger(_said["ledger"])
if _said["settings"].get(roles.HASTENED):
    hastened().__enter__()  # for as long as this process lives
_mf = app_of(_ledger, _said["settings"], listens=True)
client = _mf.native
threading.Thread(target=_tell, args=(_mf, _ledger), daemon=True).start()
