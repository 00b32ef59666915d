"""What worker commands of the tests serve."""
