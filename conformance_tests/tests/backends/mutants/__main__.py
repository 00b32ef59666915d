"""Prints names of mutants and what they fail, as `conformance_tests/mutants.json` has them."""

import json
import sys

from mutants import MUTANTS

shown = {mutant.name: list(mutant.ids) for mutant in MUTANTS}
sys.stdout.write(json.dumps(shown, indent=2) + "\n")
