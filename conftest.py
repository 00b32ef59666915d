"""Loaded before any test.

pytest names the tests of the core after their folder, ``mageflow_core.tests…``, and would take that
folder for the package of this name if the package were not there already.
"""

import mageflow_core

assert mageflow_core.__file__, "mageflow-core is not installed: see CONTRIBUTING.md"
