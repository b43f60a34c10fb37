"""Trusted Publishers: which CI identity is trusted with which resource, and why one is not. Pure."""
