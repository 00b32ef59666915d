"""The demo: a flow that measures the sources in a folder, and its report."""
