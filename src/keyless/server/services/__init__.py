"""What the service does, without HTTP: exchange, revocation, introspection, keys."""
