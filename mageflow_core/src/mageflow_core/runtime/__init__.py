"""The runtime: what runs around the state machine in every process."""
