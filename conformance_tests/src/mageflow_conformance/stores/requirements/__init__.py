"""What every store must do, a module for each group of requirements."""
