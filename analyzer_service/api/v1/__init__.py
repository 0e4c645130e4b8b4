"""Version 1 of the interface."""
