"""`python -m mageflow`: the command line."""

from mageflow.cli import main

main()
