"""Buildkite around a job: the agent's API mints over HTTP, and the `buildkite-agent` program does the same."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Final

from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import send_json
from keyless.testing.mint_server import Asked, MintServer, Ran
from keyless.testing.platforms import platform_claims

MAX_LIFETIME_SECONDS: Final = 7200
OPTIONAL: Final[Mapping[str, object]] = {
    "organization_id": "0183c4e6-c88c-4f0a-9f7c-1b6a5d3e2f10",
    "pipeline_id": "0184990a-477b-4fa8-9968-496074483cee",
    "cluster_id": "0185a111-0000-4000-8000-496074483cee",
    "queue_id": "0185a222-0000-4000-8000-496074483cee",
    "build_id": "0190f5a0-1111-4000-8000-496074483cee",
}


class FakeBuildkite(MintServer):
    """One Buildkite job.

    Args:
        issuer: Signs the tokens.
        claims: What differs from `platform_claims("buildkite")`.
        in_container: A container that got none of the agent's variables.
        knows_endpoint: Whether the job sees `BUILDKITE_AGENT_ENDPOINT`.
        has_program: Whether the agent's program is there.
    """

    PROGRAM = "buildkite-agent"

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        in_container: bool = False,
        knows_endpoint: bool = True,
        has_program: bool = True,
    ) -> None:
        super().__init__(issuer, platform_claims("buildkite", **(claims or {})))
        self.in_container = in_container
        self.knows_endpoint = knows_endpoint
        self.has_program = has_program
        self._access_token: Final = secrets.token_urlsafe(32)

    def environ(self) -> dict[str, str]:
        """Return the variables of the job ("Environment variables")."""
        path = os.environ.get("PATH", os.defpath)
        environment = {
            "CI": "true",
            "BUILDKITE": "true",
            "BUILDKITE_BRANCH": str(self.claims.get("build_branch", "")),
            "BUILDKITE_ORGANIZATION_SLUG": str(self.claims.get("organization_slug", "")),
            "BUILDKITE_PIPELINE_SLUG": str(self.claims.get("pipeline_slug", "")),
            "PATH": f"{self.program_directory}{os.pathsep}{path}" if self.has_program else path,
        }
        if self.in_container:
            return environment
        environment["BUILDKITE_JOB_ID"] = str(self.claims["job_id"])
        environment["BUILDKITE_AGENT_ACCESS_TOKEN"] = self._access_token
        if self.knows_endpoint:
            environment["BUILDKITE_AGENT_ENDPOINT"] = f"{self.origin}/v3"
        return environment

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Serve the agent API's request for an id token."""
        scheme, _, token = asked.header("authorization").partition(" ")
        if asked.method != "POST" or asked.path != f"/v3/jobs/{self.claims['job_id']}/oidc/tokens":
            send_json(handler, 404, {"message": "Not Found"})
        elif scheme.lower() != "token" or not secrets.compare_digest(token, self._access_token):
            send_json(handler, 401, {"message": "Unauthorized"})
        else:
            body = asked.json()
            lifetime, claims = body.get("lifetime", 0), body.get("claims", [])
            if not isinstance(lifetime, int) or lifetime > MAX_LIFETIME_SECONDS:
                send_json(handler, 422, {"message": "requested lifetime too high"})
            elif not isinstance(claims, list) or not set(claims) <= set(OPTIONAL):
                send_json(handler, 422, {"message": "unknown claim"})
            else:
                send_json(handler, 200, {"token": self._mint(body.get("audience"), claims, lifetime)})

    def run(self, asked: Asked) -> Ran:
        """Do what `buildkite-agent oidc request-token` does."""
        environ = asked.environ or {}
        if asked.arguments[:2] != ("oidc", "request-token"):
            return Ran(status=1, complaint="unknown command\n")
        if environ.get("BUILDKITE_AGENT_ACCESS_TOKEN") != self._access_token:
            return Ran(status=1, complaint="fatal: missing agent-access-token\n")
        if (asked.option("--job") or environ.get("BUILDKITE_JOB_ID")) != self.claims["job_id"]:
            return Ran(status=1, complaint="fatal: 404 Not Found\n")
        claims = (asked.option("--claim") or "").replace(",", " ").split()
        return Ran(output=f"{self._mint(asked.option('--audience'), claims, 0)}\n")

    def _mint(self, audience: object, claims: Sequence[str], lifetime: int) -> str:
        self.lifetime_seconds = lifetime or 300
        default = f"https://buildkite.com/{self.claims.get('organization_slug')}"
        return self.sign(audience or default, **{name: OPTIONAL[name] for name in claims})
