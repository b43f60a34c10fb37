"""Forgejo Actions around a job: GitHub's protocol on Forgejo's path, and every marker of GitHub and Gitea as well."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final

from keyless.testing.claims import DROP
from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import send_json
from keyless.testing.mint_server import Asked, MintServer
from keyless.testing.platforms import platform_claims


class FakeForgejo(MintServer):
    """One Forgejo job.

    Args:
        issuer: Signs the tokens; on a real instance its URL ends in `/api/actions`.
        claims: What differs from `platform_claims("forgejo")`.
        openid_connect: False for a job without `enable-openid-connect: true`: both variables are there, and empty.
    """

    def __init__(
        self, issuer: FakeIssuer, claims: Mapping[str, object] | None = None, *, openid_connect: bool = True
    ) -> None:
        super().__init__(issuer, platform_claims("forgejo", **(claims or {})))
        self.lifetime_seconds = 3600
        self.openid_connect = openid_connect
        self._request_token: Final = secrets.token_urlsafe(48)
        self._path: Final = f"/api/actions/_apis/pipelines/workflows/{self.claims.get('run_id')}/idtoken"

    def environ(self) -> dict[str, str]:
        """Return the variables that Forgejo's runner sets."""
        enabled = self.openid_connect
        return {
            "CI": "true",
            "FORGEJO_ACTIONS": "true",
            "GITEA_ACTIONS": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": str(self.claims.get("event_name", "")),
            "GITHUB_REF": str(self.claims.get("ref", "")),
            "GITHUB_REPOSITORY": str(self.claims.get("repository", "")),
            "GITHUB_RUN_ID": str(self.claims.get("run_id", "")),
            "GITHUB_SERVER_URL": self.origin,
            "GITHUB_SHA": str(self.claims.get("sha", "")),
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.origin}{self._path}?placeholder=true" if enabled else "",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._request_token if enabled else "",
        }

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Serve the request for an id token."""
        scheme, _, token = asked.header("authorization").partition(" ")
        if asked.method != "GET" or not asked.path.endswith("/idtoken"):
            send_json(handler, 404, {"message": "no such path"})
        elif scheme.lower() != "bearer" or not secrets.compare_digest(token, self._request_token):
            send_json(handler, 401, {"message": "bad authorization header"})
        elif asked.path != self._path:
            send_json(handler, 400, {"message": "run-id does not match"})
        else:
            audience = asked.one("audience") or f"{self.origin}/{self.claims.get('repository_owner')}"
            send_json(handler, 200, {"value": self.sign(audience, jti=DROP)})
