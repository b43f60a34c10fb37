"""AWS STS: a signed request for a token about the caller's role (S11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyless.errors import Error, IdTokenPermissionError, MintError, MintUnavailableError
from keyless.providers.aws_signing import AwsCredentials, sign_form
from keyless.providers.detect import detect_provider
from keyless.secret import Secret
from keyless.testing import FakeIssuer
from keyless.testing.aws import ROLE_ARN, FakeAWS
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of
from tests.support.job import make_id_token


@pytest.mark.parametrize("source", ["keys", "container", "instance"])
def test_each_source_of_credentials_mints(issuer: FakeIssuer, source: str) -> None:
    """The fake checks the signature from the request alone."""
    with FakeAWS(issuer) as aws:
        environ = aws.environ(source)  # type: ignore[arg-type]  # a parametrised literal
        claims = claims_of(environ)

    assert (claims["aud"], claims["sub"]) == (AUDIENCE, ROLE_ARN)
    assert find(environ).mints_anew


def test_a_pod_with_a_role_assumes_it_first(issuer: FakeIssuer, tmp_path: Path) -> None:
    """EKS: the cluster's token becomes the role's credentials, and those sign."""
    (tmp_path / "token").write_text(make_id_token("sts.amazonaws.com"))
    with FakeAWS(issuer) as aws:
        role = {"AWS_ROLE_ARN": ROLE_ARN, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
        claims = claims_of({**aws.environ("none"), **role})
        refused = hint_of({**aws.environ("none"), **role, "AWS_ROLE_ARN": "arn:aws:iam::1:role/other"})
        missing = hint_of({**aws.environ("none"), **role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "no")})

    assert claims["aud"] == AUDIENCE
    assert "OIDC provider" in refused
    assert "webhook" in missing


@pytest.mark.parametrize("marker", ["CODEBUILD_BUILD_ARN", "AWS_LAMBDA_FUNCTION_NAME"])
def test_workloads_that_say_what_they_are(marker: str) -> None:
    """Variables that only a workload of AWS has."""
    assert detect_provider({marker: "x", "AWS_REGION": "eu-west-1"}) == "aws"


@pytest.mark.parametrize("chosen", [True, False])
def test_keys_alone_are_no_reason(issuer: FakeIssuer, chosen: bool) -> None:
    """They may be a person's: never probed by default, and the error says how to choose."""
    aws = FakeAWS(issuer)
    environ = aws.environ("keys", chosen=chosen)
    aws.close()

    assert detect_provider(environ) == ("aws" if chosen else None)
    assert chosen or "KEYLESS_PROVIDER=aws" in hint_of(environ)


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        ("OutboundWebIdentityFederationDisabled", MintError, "enable-outbound-web-identity-federation"),
        ("OutboundWebIdentityFederationDisabledException", MintError, "enable-outbound"),
        ("AccessDenied", MintError, "sts:GetWebIdentityToken"),
        ("SessionDurationEscalation", MintError, "sooner"),
        ("JWTPayloadSizeExceeded", MintError, "tags"),
        ("Throttling", MintUnavailableError, "later"),
    ],
)
def test_each_refusal_has_its_own_hint(issuer: FakeIssuer, code: str, kind: type[MintError], word: str) -> None:
    """STS's codes, with what to do."""
    with FakeAWS(issuer, refusal=code) as aws:
        error = failure(aws.environ())

    assert type(error) is kind
    assert word in (error.hint or "")


def test_a_wrong_secret_key(issuer: FakeIssuer) -> None:
    """The signature does not match."""
    with FakeAWS(issuer) as aws:
        assert "clock" in hint_of({**aws.environ(), "AWS_SECRET_ACCESS_KEY": "x" * 40})


@pytest.mark.parametrize("region", ["", "eu west", "eu/../x", "é"])
def test_the_region_has_to_be_known(issuer: FakeIssuer, region: str) -> None:
    """STS has no such call at the global endpoint; a strange region does not become a host name."""
    aws = FakeAWS(issuer)
    error = failure({**aws.environ(), "AWS_REGION": region})
    aws.close()

    assert isinstance(error, IdTokenPermissionError)
    assert "AWS_REGION" in (error.hint or "")


def test_no_credentials_anywhere(issuer: FakeIssuer) -> None:
    """Metadata off: the places are listed."""
    with FakeAWS(issuer) as aws:
        assert "AWS_ACCESS_KEY_ID" in hint_of({**aws.environ("none"), "AWS_EC2_METADATA_DISABLED": "true"})


def test_an_instance_that_does_not_answer(issuer: FakeIssuer) -> None:
    """Metadata blocked: the hop limit."""
    with FakeAWS(issuer) as aws:
        aws.misbehave("reset")

        assert "hop limit" in hint_of(aws.environ("instance"))


def test_credentials_are_not_asked_of_just_any_host(issuer: FakeIssuer) -> None:
    """A container's authorization goes where AWS's own clients would send it."""
    with FakeAWS(issuer) as aws:
        environ = {**aws.environ("container"), "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://10.1.2.3/credentials"}

        assert "none of the addresses" in str(failure(environ))


@pytest.mark.parametrize(
    ("session_token", "signed_headers", "signature"),
    [
        (
            None,
            "content-type;host;x-amz-date",
            "52a8540fea00e731072179f763577cbe2a45eac2c5d32fb4d785f3eefac88165",
        ),
        (
            "SESSIONTOKEN",
            "content-type;host;x-amz-date;x-amz-security-token",
            "5947d8a67b7bc7d7ae6ad2e615583a1ceebd9851270eb8c60ddeb2702347b7dc",
        ),
    ],
    ids=["permanent", "temporary"],
)
def test_the_signature_is_the_one_of_awss_own_signer(
    session_token: str | None, signed_headers: str, signature: str
) -> None:
    """Expected values: botocore 1.44.5, `SigV4Auth.add_auth` on the same request at the same instant."""
    token = None if session_token is None else Secret(session_token)
    credentials = AwsCredentials("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), token)
    headers = sign_form(
        b"Action=GetCallerIdentity&Version=2011-06-15",
        host="sts.us-east-1.amazonaws.com",
        region="us-east-1",
        service="sts",
        credentials=credentials,
        now=1_440_938_160.0,
    )

    assert headers["X-Amz-Date"] == "20150830T123600Z"
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sts/aws4_request, "
        f"SignedHeaders={signed_headers}, Signature={signature}"
    )


def test_no_secret_is_shown(issuer: FakeIssuer) -> None:
    """S8."""
    aws = FakeAWS(issuer)
    environ = aws.environ()
    aws.close()
    found = find(environ)

    assert aws.secret_key not in f"{found!r} {found.identity!r} {AwsCredentials('a', Secret(aws.secret_key), None)!r}"


@pytest.mark.parametrize("fault", ["html", "empty", "malformed_json", "json_array", "oversize", "redirect"])
def test_nonsense_is_our_error(issuer: FakeIssuer, fault: str) -> None:
    """From STS, and from where the credentials come from."""
    with FakeAWS(issuer) as aws:
        aws.misbehave(fault)

        assert all(isinstance(failure(aws.environ(source)), Error) for source in ("keys", "container", "instance"))
