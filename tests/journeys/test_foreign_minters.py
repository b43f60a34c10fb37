"""FakeCI is honest: other people's unmodified clients mint from it.

They live in an environment of their own, `.venvs/foreign` or wherever `KEYLESS_TEST_FOREIGN` says its Python is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.aws import ROLE_ARN
from keyless.testing.azure_devops import AUDIENCE as AZURE_AUDIENCE

pytestmark = pytest.mark.journey

AUDIENCE = "https://hub.example.org"
PYTHON = Path(os.environ.get("KEYLESS_TEST_FOREIGN", Path(__file__).parents[2] / ".venvs/foreign/bin/python"))

ID = f"import id; print(id.detect_credential({AUDIENCE!r}))"
GOOGLE_AUTH = f"""
import google.auth.transport.requests as transport, google.oauth2.id_token as id_token
print(id_token.fetch_id_token(transport.Request(), {AUDIENCE!r}))
"""
BOTO3 = f"""
import boto3
answer = boto3.client("sts").get_web_identity_token(Audience=[{AUDIENCE!r}], SigningAlgorithm="RS256")
print(answer["WebIdentityToken"])
"""
DATABRICKS = f"""
import os
from databricks.sdk.oidc_token_supplier import AzureDevOpsOIDCTokenSupplier, GitHubOIDCTokenSupplier
supplier = AzureDevOpsOIDCTokenSupplier() if os.environ.get("TF_BUILD") else GitHubOIDCTokenSupplier()
print(supplier.get_oidc_token({AUDIENCE!r}))
"""

Mint = Callable[[str, Mapping[str, str]], dict[str, object]]


@pytest.fixture
def mint() -> Mint:
    """Run a program in the foreign environment, and read the claims of the token it prints last."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: no environment with the foreign clients")

    def run(program: str, environ: Mapping[str, str]) -> dict[str, object]:
        result = subprocess.run(
            [str(PYTHON), "-c", program],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        return unverified_claims(result.stdout.split()[-1])

    return run


@pytest.mark.parametrize("platform", ["github", "forgejo", "circleci", "buildkite"])
def test_id(issuer: FakeIssuer, mint: Mint, platform: str) -> None:
    """What twine and sigstore-python mint with."""
    with getattr(FakeCI, platform)(issuer) as ci:
        assert mint(ID, ci.environ())["aud"] == AUDIENCE


def test_id_on_gitlab(issuer: FakeIssuer, mint: Mint) -> None:
    """The variable named for the audience."""
    ci = FakeCI.gitlab(issuer, audience=AUDIENCE, variable="HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN")

    assert mint(ID, ci.environ())["aud"] == AUDIENCE


@pytest.mark.parametrize("platform", ["github", "forgejo", "azure_devops"])
def test_databricks(issuer: FakeIssuer, mint: Mint, platform: str) -> None:
    """It builds Azure's URL from five variables instead of the one."""
    with getattr(FakeCI, platform)(issuer) as ci:
        audience = mint(DATABRICKS, ci.environ())["aud"]

    assert audience == (AZURE_AUDIENCE if platform == "azure_devops" else AUDIENCE)


def test_google_auth(issuer: FakeIssuer, mint: Mint) -> None:
    """Ping, account, identity."""
    with FakeCI.google_cloud(issuer) as cloud:
        environ = cloud.environ()

        assert mint(GOOGLE_AUTH, {**environ, "GCE_METADATA_IP": environ["GCE_METADATA_HOST"]})["aud"] == AUDIENCE


@pytest.mark.parametrize("source", ["keys", "container", "instance"])
def test_boto3(issuer: FakeIssuer, mint: Mint, source: str) -> None:
    """AWS's own signer is accepted, by a check that knows only the documentation."""
    with FakeCI.aws(issuer) as aws:
        environ = aws.environ(source)  # type: ignore[arg-type]  # a parametrised literal
        claims = mint(BOTO3, {**environ, "AWS_DEFAULT_REGION": environ["AWS_REGION"]})

    assert (claims["aud"], claims["sub"]) == (AUDIENCE, ROLE_ARN)
