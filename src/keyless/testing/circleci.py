"""CircleCI around a job: two ready-made tokens in variables, and the `circleci` program for any other audience."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property

from keyless.testing.issuer import FakeIssuer
from keyless.testing.mint_server import Asked, MintServer, Ran
from keyless.testing.platforms import platform_claims


class FakeCircleCI(MintServer):
    """One CircleCI job.

    Args:
        issuer: Signs the tokens.
        claims: What differs from `platform_claims("circleci")`.
        forked: A fork's pull request in a project that does not pass secrets to forks: there is no token at all.
        has_program: Whether the image has the `circleci` program.
    """

    PROGRAM = "circleci"

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        forked: bool = False,
        has_program: bool = True,
    ) -> None:
        super().__init__(issuer, platform_claims("circleci", **(claims or {})))
        self.lifetime_seconds = 3600
        self.forked = forked
        self.has_program = has_program

    @cached_property
    def id_token(self) -> str:
        """Return the ready-made token, whose audience is the organization."""
        return self.sign(self.claims["oidc.circleci.com/org-id"])

    def environ(self) -> dict[str, str]:
        """Return the variables of the job ("Built-in environment variables")."""
        path = os.environ.get("PATH", os.defpath)
        environment = {
            "CI": "true",
            "CIRCLECI": "true",
            "CIRCLE_BRANCH": "main",
            "CIRCLE_PROJECT_USERNAME": "acme",
            "CIRCLE_PROJECT_REPONAME": "widgets",
            "CIRCLE_WORKFLOW_ID": str(self.claims.get("oidc.circleci.com/workflow-id", "")),
            "PATH": f"{self.program_directory}{os.pathsep}{path}" if self.has_program else path,
        }
        if self.forked:
            return {**environment, "CIRCLE_PR_NUMBER": "7", "CIRCLE_PR_REPONAME": "widgets"}
        return {**environment, "CIRCLE_OIDC_TOKEN": self.id_token, "CIRCLE_OIDC_TOKEN_V2": self.id_token}

    def run(self, asked: Asked) -> Ran:
        """Do what `circleci run oidc get` does: a token on standard output, and only `aud` may be set."""
        if asked.arguments[:3] != ("run", "oidc", "get"):
            return Ran(status=255, complaint="Error: unknown command\n")
        if self.forked:
            return Ran(status=1, complaint="Error: this job may not request tokens\n")
        try:
            claims = json.loads(asked.option("--claims") or "{}")
        except ValueError:
            return Ran(status=1, complaint="Error: --claims is not JSON\n")
        if not isinstance(claims, dict) or set(claims) - {"aud"}:
            return Ran(status=1, complaint="Error: only aud can be set\n")
        audience = claims.get("aud", self.claims["oidc.circleci.com/org-id"])
        return Ran(output=f"{self.sign(audience)}\n")
