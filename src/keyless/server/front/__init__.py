"""HTTP/1.1 as the service speaks it: connections, requests in their order, and the short way of an exchange (D17)."""

from __future__ import annotations

from keyless.server.front.front import Front, ShortWay

__all__ = ["Front", "ShortWay"]
