"""Azure DevOps Pipelines around a step: a POST endpoint that mints for one fixed audience."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final, Literal

from keyless.testing.claims import merge
from keyless.testing.faults import send
from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import send_json
from keyless.testing.mint_server import Asked, MintServer
from keyless.testing.platforms import platform_claims

AUDIENCE: Final = "api://AzureADTokenExchange"
CONNECTION: Final = "5f1d7b3a-2c4e-4a6b-8d9f-0a1b2c3d4e5f"
NOT_BEFORE_SECONDS: Final = 600


class FakeAzureDevOps(MintServer):
    """One step of an Azure DevOps job.

    Args:
        issuer: Signs the tokens.
        claims: What differs from `platform_claims("azure-devops")`.
        mapping: How the step maps its access token: `yes`, not at all (`no`), or with a name that is not resolved
            (`unresolved`), which leaves the text `$(System.AccessToken)`.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        mapping: Literal["yes", "no", "unresolved"] = "yes",
    ) -> None:
        super().__init__(issuer, platform_claims("azure-devops", **(claims or {})))
        self.mapping = mapping
        self._access_token: Final = secrets.token_urlsafe(64)
        self._plan: Final = secrets.token_hex(8)
        self._job: Final = secrets.token_hex(8)
        self._path: Final = (
            f"/acme/{self.claims.get('prj_id')}/_apis/distributedtask/hubs/build/plans/{self._plan}"
            f"/jobs/{self._job}/oidctoken"
        )

    def environ(self) -> dict[str, str]:
        """Return the variables of the step ("Use predefined variables")."""
        environment = {
            "TF_BUILD": "True",
            "BUILD_SOURCEBRANCH": str(self.claims.get("rpo_ref", "")),
            "SYSTEM_HOSTTYPE": "build",
            "SYSTEM_JOBID": self._job,
            "SYSTEM_OIDCREQUESTURI": f"{self.origin}{self._path}",
            "SYSTEM_PLANID": self._plan,
            "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": f"{self.origin}/acme/",
            "SYSTEM_TEAMPROJECTID": str(self.claims.get("prj_id", "")),
        }
        if self.mapping != "no":
            environment["SYSTEM_ACCESSTOKEN"] = self._access_token if self.mapping == "yes" else "$(System.AccessToken)"
        return environment

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Serve "Oidctoken - Create"."""
        scheme, _, token = asked.header("authorization").partition(" ")
        connection = asked.one("serviceConnectionId")
        if asked.method != "POST" or asked.path != self._path:
            send_json(handler, 404, {"message": "no such path"})
        elif scheme.lower() != "bearer" or not secrets.compare_digest(token, self._access_token):
            if asked.header("x-tfs-fedauthredirect").lower() == "suppress":
                send_json(handler, 401, {"message": "TF400813: The user is not authorized to access this resource."})
            else:
                send(handler, 302, "text/html", b"<html>Sign in</html>", Location=f"{self.origin}/_signin")
        elif not asked.one("api-version"):
            send_json(handler, 400, {"message": "No api-version was supplied for the request."})
        elif connection not in {None, CONNECTION}:
            send_json(handler, 403, {"message": "The endpoint is not authorized for this job."})
        else:
            send_json(handler, 200, {"oidcToken": self._mint(connection)})

    def _mint(self, connection: str | None) -> str:
        issued_at = int(self.issuer.clock())
        times: dict[str, object] = {"nbf": issued_at - NOT_BEFORE_SECONDS}
        if connection is None:
            return self.sign(AUDIENCE, **times)
        claims = merge({"sub": "sc://acme/widgets/publish"}, times)
        return self.issuer.mint(claims, lifetime_seconds=self.lifetime_seconds, aud=AUDIENCE)
