"""Google Cloud around a machine: the metadata server, and the API that makes another account's id token."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import unquote

from keyless.testing.claims import DROP
from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import send_json
from keyless.testing.mint_server import Asked, MintServer, send_text
from keyless.testing.platforms import platform_claims

_ACCOUNT: Final = "/computeMetadata/v1/instance/service-accounts/default"
_IAM: Final = "/v1/projects/-/serviceAccounts/"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_FLAVOR: Final = {"Metadata_Flavor": "Google"}


class FakeGoogleCloud(MintServer):
    """One machine.

    Args:
        issuer: Signs the tokens; Google's own is shared with people who sign in.
        claims: What differs from `platform_claims("google-cloud")`.
        has_account: Whether the machine has a service account.
        may_impersonate: E-mail addresses of the accounts that its own may be.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        has_account: bool = True,
        may_impersonate: tuple[str, ...] = (),
    ) -> None:
        super().__init__(issuer, platform_claims("google-cloud", **(claims or {})))
        self.lifetime_seconds = 3600
        self.has_account = has_account
        self.may_impersonate = may_impersonate
        self._access_token: Final = f"ya29.{secrets.token_urlsafe(48)}"

    def environ(self, *, impersonate: str | None = None) -> dict[str, str]:
        """Return the variables that lead Google's clients, and ours, to this server."""
        environment = {"GCE_METADATA_HOST": self.origin.removeprefix("http://")}
        if impersonate is not None:
            environment["GOOGLE_SERVICE_ACCOUNT_NAME"] = impersonate
            environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"] = f"{self.origin}/"
        return environment

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Serve both: which one is asked shows in the path."""
        if asked.path.startswith(_IAM):
            self._serve_iam(handler, asked)
        else:
            self._serve_metadata(handler, asked)

    def _serve_metadata(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        if asked.header("metadata-flavor") != "Google":
            send_text(handler, 403, "Missing Metadata-Flavor:Google header.")
        elif asked.header("x-forwarded-for"):
            send_text(handler, 403, "No proxies.", **_FLAVOR)
        elif asked.path in {"/", "/computeMetadata/v1/"}:
            send_text(handler, 200, "computeMetadata/\n", **_FLAVOR)
        elif not self.has_account:
            send_text(handler, 404, "Not Found", **_FLAVOR)
        elif asked.path == f"{_ACCOUNT}/identity":
            self._serve_identity(handler, asked)
        elif asked.path == f"{_ACCOUNT}/token":
            body = {"access_token": self._access_token, "expires_in": 3599, "token_type": "Bearer"}
            send_json(handler, 200, body, **_FLAVOR)
        elif asked.path == f"{_ACCOUNT}/email":
            send_text(handler, 200, str(self.claims.get("email", "")), **_FLAVOR)
        elif asked.path == f"{_ACCOUNT}/" and asked.one("recursive") == "true":
            account = {"aliases": ["default"], "email": self.claims.get("email"), "scopes": [_SCOPE]}
            send_json(handler, 200, account, **_FLAVOR)
        else:
            send_text(handler, 404, "Not Found", **_FLAVOR)

    def _serve_identity(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        audience = asked.one("audience")
        if not audience:
            send_text(handler, 400, "non-empty audience parameter required", **_FLAVOR)
            return
        short: dict[str, object] = {} if asked.one("format") == "full" else {"google": DROP, "email": DROP}
        send_text(handler, 200, self.sign(audience, jti=DROP, nbf=DROP, **short), **_FLAVOR)

    def _serve_iam(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        email, _, call = unquote(asked.path.removeprefix(_IAM)).rpartition(":")
        body = asked.json()
        if asked.method != "POST" or call != "generateIdToken":
            send_json(handler, 404, {"error": {"code": 404, "status": "NOT_FOUND"}})
        elif asked.header("authorization") != f"Bearer {self._access_token}":
            send_json(handler, 401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}})
        elif email not in self.may_impersonate:
            send_json(handler, 403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}})
        elif not body.get("audience"):
            send_json(handler, 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}})
        else:
            seen = {"email": email, "email_verified": True} if body.get("includeEmail") else {"email": DROP}
            token = self.sign(body["audience"], sub="998877665544332211001", google=DROP, jti=DROP, nbf=DROP, **seen)
            send_json(handler, 200, {"token": token})
