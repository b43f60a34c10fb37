"""Which endpoint a request is for: exact paths, one table for each listener (D19)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from keyless.server.doors.client_address import ClientAddresses
from keyless.server.doors.http import Door, Receive, Scope, Send, caller_of, send_json


class Router:
    """Serve a table of exact paths; everything else goes to `fallback`, or is 404.

    Args:
        doors: Endpoint by path and method.
        prefix: The path of our public URL, without trailing slash; it stands before every path of the table.
        roots: Further endpoints, at the root whatever the prefix: package registries are on hosts of their own. A path
            that ends in `*` stands for all that begin so.
        mounts: Whole applications by the first segments of their paths, for example `/api/v1`.
        fallback: Serves the paths that are not ours: the hub that shares our origin.
        addresses: Finds the callers behind our proxies.
    """

    def __init__(
        self,
        doors: Mapping[str, Mapping[str, Door]],
        *,
        prefix: str = "",
        roots: Mapping[str, Mapping[str, Door]] = MappingProxyType({}),
        mounts: Mapping[str, Door] = MappingProxyType({}),
        fallback: Door | None = None,
        addresses: ClientAddresses | None = None,
    ) -> None:
        self._addresses = addresses
        self._doors = {prefix + path: dict(methods) for path, methods in doors.items()}
        self._doors |= {path: dict(methods) for path, methods in roots.items() if not path.endswith("*")}
        self._open = [(path[:-1], dict(methods)) for path, methods in roots.items() if path.endswith("*")]
        self._mounts = {f"{path}/": door for path, door in mounts.items()}
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return  # no lifespan work here; a websocket is left to the server's own refusal
        if self._addresses is not None:
            self._addresses.put_into(scope)
        methods = self._doors.get(scope["path"])
        if methods is None and self._open:
            path = scope["path"]
            methods = next((found for start, found in self._open if path.startswith(start)), None)
        if methods is None and self._mounts:
            for start, mounted in self._mounts.items():
                if scope["path"].startswith(start):
                    await mounted(scope, receive, send)
                    return
        if methods is None and self._fallback is not None:
            await self._fallback(scope, receive, send)
            return
        if methods is None:
            content = {"error": "not_found", "error_description": "there is nothing at this path"}
            await send_json(send, 404, content, request_id=caller_of(scope).request_id)
            return
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if (door := methods.get(method)) is None:
            allowed = ", ".join(sorted(methods))
            await send_json(
                send,
                405,
                {"error": "method_not_allowed", "error_description": f"this path takes {allowed}"},
                request_id=caller_of(scope).request_id,
                headers=[(b"allow", allowed.encode("ascii"))],
            )
            return
        await door(scope, receive, send)
