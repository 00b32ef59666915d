"""Makes what tests share importable: folders of tests are no packages."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("backends", "history", "stores"):
    SHARED = str(Path(__file__).parent / folder)
    if SHARED not in sys.path:
        sys.path.insert(0, SHARED)
