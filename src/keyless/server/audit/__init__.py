"""The audit: append-only, one hash chain for each writer (D15).

`event` says what is recorded, `chain` links it, `verify` checks the links, `reader` shows them.
"""
