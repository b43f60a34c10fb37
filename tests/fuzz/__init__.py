"""Very many bodies at the token door of a running service (`make fuzz`)."""
