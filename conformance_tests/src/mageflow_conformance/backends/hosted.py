"""What the engine's own command is given to serve, as `client`: that of the suite's app, whose
worker is hosted in the processes that the command starts.

Imported by that command. Which app it is, a variable of its environment says, as JSON: `ledger` and
`settings`.
"""

from __future__ import annotations

import json
import os

from mageflow_conformance.backends.life import HOSTED, app_of, tell_of
from mageflow_conformance.flows import roles
from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.ledger import Ledger

_said = json.loads(os.environ[HOSTED])
_ledger = Ledger(_said["ledger"])
if _said["settings"].get(roles.HASTENED):
    hastened().__enter__()  # for as long as this process lives
_mf = app_of(_ledger, _said["settings"], listens=True)
client = _mf.native
tell_of(_mf, _ledger)
