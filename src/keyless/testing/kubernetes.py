"""Kubernetes around a pod: a projected token file that the kubelet rotates, and the API that makes tokens."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import send_json
from keyless.testing.mint_server import Asked, MintServer
from keyless.testing.platforms import platform_claims

MIN_SECONDS: Final = 600
API_AUDIENCE: Final = "https://kubernetes.default.svc.cluster.local"


class FakeKubernetes(MintServer):
    """One pod. Its API speaks plain http on loopback; a real one has https and the cluster's own authority.

    Args:
        issuer: Signs the tokens.
        claims: What differs from `platform_claims("kubernetes")`.
        audience: Of the projected token; `None` for a pod without such a volume.
        may_create_tokens: Whether the pod's role allows `create` on `serviceaccounts/token`.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | None = None,
        may_create_tokens: bool = False,
    ) -> None:
        super().__init__(issuer, platform_claims("kubernetes", **(claims or {})))
        self.lifetime_seconds = 3600
        self.may_create_tokens = may_create_tokens
        self._audience: Final = audience
        self._directory: Final = tempfile.TemporaryDirectory(prefix="keyless-testing-")
        self._api_token: Final = self.sign([API_AUDIENCE])
        self._generation = 0
        account = Path(self.service_account_directory)
        account.mkdir()
        (account / "token").write_text(self._api_token)
        (account / "namespace").write_text("ci")
        (account / "ca.crt").write_text("")
        if audience is not None:
            self.rotate()

    @property
    def service_account_directory(self) -> str:
        """Return the folder of the pod's API token, which every pod has by default."""
        return str(Path(self._directory.name) / "serviceaccount")

    @property
    def token_file(self) -> Path:
        """Return the path of the projected token."""
        return Path(self._directory.name) / "token"

    def rotate(self) -> None:
        """Write a new token the kubelet's way: a new folder, and a symbolic link that is exchanged atomically."""
        self._generation += 1
        folder = Path(self._directory.name) / f"..{self._generation}"
        folder.mkdir()
        (folder / "token").write_text(self.sign([self._audience]))
        link = Path(self._directory.name) / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(Path(self._directory.name) / "..data")
        if not self.token_file.is_symlink():
            self.token_file.symlink_to(Path("..data") / "token")

    def environ(self) -> dict[str, str]:
        """Return the variables of the pod; where the volume is mounted is the pod's own business."""
        host, _, port = self.origin.removeprefix("http://").partition(":")
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        if self._audience is not None:
            environment["KEYLESS_KUBERNETES_TOKEN_FILE"] = str(self.token_file)
        return environment

    def close(self) -> None:
        """Stop serving and remove the files."""
        super().close()
        if os.path.isdir(self._directory.name):  # noqa: PTH112  # close may be called twice
            self._directory.cleanup()

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Serve "TokenRequest"."""
        body = asked.json()
        spec = body.get("spec")
        if asked.method != "POST" or asked.path != "/api/v1/namespaces/ci/serviceaccounts/builder/token":
            _refuse(handler, 404, "NotFound")
        elif asked.header("authorization") != f"Bearer {self._api_token}":
            _refuse(handler, 401, "Unauthorized")
        elif not self.may_create_tokens:
            _refuse(handler, 403, "Forbidden")
        elif body.get("kind") != "TokenRequest" or not isinstance(spec, dict):
            _refuse(handler, 400, "BadRequest")
        elif not isinstance(seconds := spec.get("expirationSeconds", 3600), int) or seconds < MIN_SECONDS:
            _refuse(handler, 422, "Invalid")
        else:
            self.lifetime_seconds = seconds
            token = self.sign(spec.get("audiences") or [API_AUDIENCE])
            send_json(handler, 201, {**body, "status": {"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"}})


def _refuse(handler: BaseHTTPRequestHandler, status: int, reason: str) -> None:
    send_json(handler, status, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason})
