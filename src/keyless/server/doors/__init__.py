"""HTTP in and out, one file per endpoint: plain ASGI callables, no decisions (D17)."""
