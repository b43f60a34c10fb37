"""A CI job in a box: a stub for the platform's id-token endpoint and the token service, and the job's variables."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.stub import Answer, StubServer

MINT_PATH = "/mint/job"
TOKEN_PATH = "/oauth/token"
REVOKE_PATH = "/oauth/revoke"
REQUEST_TOKEN = "request-token-0123456789abcdefghijklmnopqrstuvwxyz"
RESOURCE = "acme/model"


def make_id_token(audience: object, *, lifetime_seconds: float = 300, **claims: object) -> str:
    """Return a token of the right shape; its signature is noise, because a client cannot check it."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = {"aud": audience, "exp": int(time.time() + lifetime_seconds), "jti": os.urandom(6).hex(), **claims}
    signature = base64.urlsafe_b64encode(os.urandom(64)).rstrip(b"=").decode()
    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(body)}.{signature}"


class Job(StubServer):
    """A GitHub-like job whose mint and exchange succeed until a test scripts them otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self._minted = 0
        self._exchanged = 0
        self.id_tokens: list[str] = []
        self.lifetime_seconds: object = 3600
        self.on(MINT_PATH, lambda _: self._mint())
        self.on(TOKEN_PATH, lambda _: self._exchange())
        self.on(REVOKE_PATH, Answer(200))

    def _mint(self) -> Answer:
        token = make_id_token(self.url)
        self.id_tokens.append(token)
        return Answer(200, {"count": 1, "value": token})

    def _exchange(self) -> Answer:
        self._exchanged += 1
        return Answer(
            200,
            {
                "access_token": self.access_token(self._exchanged),
                "token_type": "Bearer",
                "expires_in": self.lifetime_seconds,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            },
            headers={"X-Request-Id": f"req-{self._exchanged}"},
        )

    @staticmethod
    def access_token(number: int = 1) -> str:
        """Return the access token that the n-th exchange gives."""
        return f"kl_access{number:04d}-abcdefghijklmnopqrstuvwxyz0123456789"

    @property
    def mints(self) -> int:
        return self.count(MINT_PATH)

    @property
    def exchanges(self) -> int:
        return self.count(TOKEN_PATH)

    def github(self, **more: str) -> dict[str, str]:
        """Return the variables of a GitHub job that may mint."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}{MINT_PATH}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            "HF_ENDPOINT": self.url,
            "HF_OIDC_RESOURCE": RESOURCE,
            "HF_HOME": "/nonexistent/hf",
            **more,
        }

    def handed_over(self, **more: str) -> dict[str, str]:
        """Return the variables of a job that was handed an id token."""
        return {
            "HF_OIDC_ID_TOKEN": make_id_token(self.url, lifetime_seconds=7200),
            "HF_ENDPOINT": self.url,
            "HF_OIDC_RESOURCE": RESOURCE,
            "HF_HOME": "/nonexistent/hf",
            **more,
        }


def run_cli(
    *words: str, environ: Mapping[str, str], cwd: Path | None = None, program: Sequence[str] = ("-m", "keyless")
) -> subprocess.CompletedProcess[str]:
    """Run the real command line in a process of its own, with exactly these variables and a PATH."""
    variables = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ}
    return subprocess.run(
        [sys.executable, *program, *words],
        env=variables,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        stdin=subprocess.DEVNULL,
    )
