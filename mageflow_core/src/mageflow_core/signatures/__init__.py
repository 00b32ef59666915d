"""What to run, as plain data, and how its arguments are bound."""
