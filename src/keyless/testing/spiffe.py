"""SPIRE around a workload: the agent's program, which fetches JWT-SVIDs from the workload API."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from keyless.testing.claims import DROP
from keyless.testing.issuer import FakeIssuer
from keyless.testing.mint_server import Asked, MintServer, Ran
from keyless.testing.platforms import platform_claims

SOCKET_PATH = "/run/spire/agent/public/api.sock"


class FakeSpire(MintServer):
    """One workload.

    Args:
        issuer: Signs the JWT-SVIDs: of an operator that runs an OIDC discovery provider.
        claims: What differs from `platform_claims("spiffe")`.
        registered: Whether SPIRE has an entry whose selectors fit the workload.
        has_program: Whether `spire-agent` is there.
    """

    PROGRAM = "spire-agent"

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        registered: bool = True,
        has_program: bool = True,
    ) -> None:
        super().__init__(issuer, platform_claims("spiffe", **(claims or {})))
        self.registered = registered
        self.has_program = has_program

    def environ(self) -> dict[str, str]:
        """Return the variables of the workload ("SPIFFE Workload Endpoint")."""
        path = os.environ.get("PATH", os.defpath)
        return {
            "SPIFFE_ENDPOINT_SOCKET": f"unix://{SOCKET_PATH}",
            "PATH": f"{self.program_directory}{os.pathsep}{path}" if self.has_program else path,
        }

    def run(self, asked: Asked) -> Ran:
        """Do what `spire-agent api fetch jwt` does with `-output json`: the SVIDs, then the bundles."""
        audience, spiffe_id = asked.option("-audience"), asked.option("-spiffeID")
        if asked.arguments[:3] != ("api", "fetch", "jwt"):
            return Ran(status=1, complaint="Usage: spire-agent [--version] [--help] <command> [<args>]\n")
        if asked.option("-socketPath") != SOCKET_PATH:
            return Ran(status=1, complaint="rpc error: code = Unavailable desc = error while dialing: no such file\n")
        if not audience:
            return Ran(status=1, complaint="audience must be specified\n")
        if not self.registered or spiffe_id not in {None, self.claims["sub"]}:
            return Ran(status=1, complaint="rpc error: code = PermissionDenied desc = no identity issued\n")
        audiences = audience.split(",")
        token = self.sign(audiences, jti=DROP, nbf=DROP)
        svids = [{"spiffe_id": self.claims["sub"], "svid": token, "hint": ""}]
        bundles = {"bundles": {"spiffe://example.org": "e30="}}
        return Ran(output=json.dumps([{"svids": svids}, bundles]) + "\n")
