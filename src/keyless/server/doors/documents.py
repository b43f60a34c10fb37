"""The documents we publish: our keys, our metadata, and whether we are alive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from keyless.server.doors.http import Door, Receive, Scope, Send, caller_of, send_json
from keyless.server.metrics import CONTENT_TYPE, Metrics
from keyless.server.services.token_request import SUBJECT_TOKEN_TYPES, TOKEN_EXCHANGE_GRANT
from keyless.verifier.metadata import WELL_KNOWN, protected_resource_metadata


class JwksDoor:
    """`GET /oauth/jwks`: the keys that verify our access tokens (RFC 7517 section 5)."""

    def __init__(self, jwks: Callable[[], bytes]) -> None:
        self._jwks = jwks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one GET."""
        del receive
        # Verifiers cache for minutes, proxies not at all: a key taken out of service must vanish.
        await send_json(send, 200, json.loads(self._jwks()), request_id=caller_of(scope).request_id)


class DocumentDoor:
    """Serve one JSON document that does not change while the service runs."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one GET."""
        del receive
        await send_json(send, 200, self._document, request_id=caller_of(scope).request_id)


def authorization_server_metadata(public_url: str) -> dict[str, object]:
    """Return our metadata (RFC 8414 section 2, RFC 9728 section 4). Everything is said, for the defaults are others'.

    `response_types_supported` is required there and ours are none, so the list is empty; clients take that.
    """
    return {
        "issuer": public_url,
        "token_endpoint": f"{public_url}/oauth/token",
        "revocation_endpoint": f"{public_url}/oauth/revoke",
        "jwks_uri": f"{public_url}/oauth/jwks",
        "explain_endpoint": f"{public_url}/oauth/explain",  # ours: `keyless doctor` asks there
        "grant_types_supported": [TOKEN_EXCHANGE_GRANT],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["read", "write", "create"],
        "protected_resources": [public_url],
        "subject_token_types_supported": sorted(SUBJECT_TOKEN_TYPES),  # ours, as the next one
        "subject_token_audience": public_url,
    }


def well_known(public_url: str) -> dict[str, Mapping[str, Door]]:
    """Return the doors of our metadata by their whole paths.

    Where our URL has a path, the RFCs put it behind the well-known words and OpenID Connect before them; clients do
    either. `openid-configuration` is the same document: we are no OpenID provider, but some clients ask nowhere else.
    """
    path = urlsplit(public_url).path
    ours = {"GET": DocumentDoor(authorization_server_metadata(public_url))}
    return {
        f"/.well-known/oauth-authorization-server{path}": ours,
        f"{path}/.well-known/oauth-authorization-server": ours,
        f"{path}/.well-known/openid-configuration": ours,
        f"{WELL_KNOWN}{path}": {"GET": DocumentDoor(protected_resource_metadata(public_url, public_url))},
    }


class HealthDoor:
    """`GET /healthz` and `/readyz`: 200 when every check passes, else 503 with the names of those that do not.

    Args:
        checks: Name -> whether it passes.
        warnings: Name -> what is wrong, or `None`; told of, and no reason to send nobody here any more.
    """

    def __init__(
        self,
        checks: dict[str, Callable[[], bool]],
        warnings: Mapping[str, Callable[[], str | None]] = MappingProxyType({}),
    ) -> None:
        self._checks = checks
        self._warnings = warnings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one GET."""
        del receive
        failing = [name for name, check in self._checks.items() if not check()]
        warned = {name: problem for name, warning in self._warnings.items() if (problem := warning()) is not None}
        await send_json(
            send,
            503 if failing else 200,
            {
                "status": "failing" if failing else "ok",
                **({"failing": failing} if failing else {}),
                **({"warnings": warned} if warned else {}),
            },
            request_id=caller_of(scope).request_id,
        )


class MetricsDoor:
    """Serve the service's numbers to Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one GET."""
        del scope, receive
        body = await asyncio.get_running_loop().run_in_executor(None, self._metrics.text)
        headers = [(b"content-type", CONTENT_TYPE), (b"content-length", str(len(body)).encode("ascii"))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
