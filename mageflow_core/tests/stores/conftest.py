"""Makes `simulation` importable here too: it lives beside the tests of the machine."""

import sys
from pathlib import Path

MACHINE = str(Path(__file__).parent.parent / "machine")
if MACHINE not in sys.path:
    sys.path.insert(0, MACHINE)
