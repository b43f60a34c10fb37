"""Proof by removal: each guard is taken out of a copy of the source, and the test that proves it must then fail."""
