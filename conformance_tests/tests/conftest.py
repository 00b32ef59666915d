"""Makes what tests share importable: folders of tests are no packages."""

from __future__ import annotations

import sys
from pathlib import Path

SHARED = str(Path(__file__).parent / "stores")
if SHARED not in sys.path:
    sys.path.insert(0, SHARED)
