"""The fake AWS checks signatures and sessions as the real one; boto3 is accepted in the journeys."""

from __future__ import annotations

import pytest

from keyless.providers.aws_signing import FORM, AwsCredentials, sign_form
from keyless.secret import Secret
from keyless.testing import FakeCI, FakeIssuer
from keyless.testing.aws import REGION, ROLE_ARN, FakeAWS
from tests.testing.calls import http

ASK = b"Action=GetWebIdentityToken&Audience.member.1=x&SigningAlgorithm=RS256&Version=2011-06-15"


def post(
    aws: FakeAWS, body: bytes = ASK, *, region: str = REGION, service: str = "sts", **changes: str
) -> tuple[int, str]:
    parts = {"key": aws.key_id, "secret": aws.secret_key, "session": aws.session_token, **changes}
    credentials = AwsCredentials(parts["key"], Secret(parts["secret"]), Secret(parts["session"]))
    host = aws.origin.removeprefix("http://")
    headers = sign_form(body, host=host, region=region, service=service, credentials=credentials)
    return http("POST", f"{aws.origin}/", headers, changes.get("sent", "").encode() or body)[:2]


def test_a_signed_request_gets_a_token(issuer: FakeIssuer) -> None:
    """In XML, as the query protocol has it."""
    with FakeCI.aws(issuer) as aws:
        status, body = post(aws)

    assert status == 200
    assert "<GetWebIdentityTokenResult><WebIdentityToken>eyJ" in body


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret": "x"}, "SignatureDoesNotMatch"),
        ({"session": "x"}, "InvalidClientTokenId"),
        ({"key": "x"}, "InvalidClientTokenId"),
        ({"region": "us-east-1"}, "IncompleteSignature"),
        ({"service": "s3"}, "IncompleteSignature"),
        ({"sent": ASK.decode().replace("=x", "=y")}, "SignatureDoesNotMatch"),
        ({"body": ASK.replace(b"RS256", b"HS256")}, "ValidationError"),
        ({"body": ASK.replace(b"Audience.member.1", b"Audience")}, "ValidationError"),
        ({"body": ASK + b"&DurationSeconds=3601"}, "ValidationError"),
        ({"body": ASK.replace(b"GetWebIdentityToken", b"GetIt")}, "InvalidAction"),
    ],
)
def test_refusals(issuer: FakeIssuer, changes: dict[str, str], code: str) -> None:
    """One change each."""
    with FakeCI.aws(issuer) as aws:
        status, body = post(aws, **changes)  # type: ignore[arg-type]  # `body` is bytes

    assert status >= 400
    assert f"<Code>{code}</Code>" in body


def test_an_unsigned_request(issuer: FakeIssuer) -> None:
    """Only assuming a role by a cluster's token needs no signature."""
    with FakeCI.aws(issuer) as aws:
        unsigned = http("POST", f"{aws.origin}/", {"Content-Type": FORM}, ASK)
        form = f"Action=AssumeRoleWithWebIdentity&RoleArn={ROLE_ARN}&WebIdentityToken=a.b.c&Version=2011-06-15"
        assumed = http("POST", f"{aws.origin}/", {"Content-Type": FORM}, form.encode())

    assert unsigned[0] == 403
    assert f"<AccessKeyId>{aws.key_id}</AccessKeyId>" in assumed[1]


def test_the_metadata_service_wants_a_session(issuer: FakeIssuer) -> None:
    """Version 2 of the service: PUT first."""
    path = "/latest/meta-data/iam/security-credentials/"
    with FakeCI.aws(issuer) as aws:
        session = http("PUT", f"{aws.origin}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, b"")[1]
        headers = {"X-aws-ec2-metadata-token": session}
        statuses = [
            http("GET", f"{aws.origin}{path}")[0],
            http("GET", f"{aws.origin}/latest/api/token", headers)[0],
            http("GET", f"{aws.origin}{path}", headers)[0],
            http("GET", f"{aws.origin}{path}builder", headers)[0],
            http("GET", f"{aws.origin}{path}other", headers)[0],
            http("GET", f"{aws.origin}/v1/credentials")[0],
            http("GET", f"{aws.origin}/elsewhere")[0],
        ]

    assert statuses == [401, 400, 200, 200, 404, 401, 404]
