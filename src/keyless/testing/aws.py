"""AWS around a workload: STS, which checks signatures, and the two services that give a role's credentials."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final, Literal
from urllib.parse import parse_qs

from keyless.testing.faults import send
from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import send_json
from keyless.testing.mint_server import Asked, MintServer, send_text
from keyless.testing.platforms import platform_claims

REGION: Final = "eu-west-1"
ROLE_ARN: Final = "arn:aws:iam::123456789012:role/builder"
_METADATA: Final = "/latest/meta-data/iam/security-credentials/"
_NAMESPACE: Final = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
_REQUEST_ID: Final = "c6104cbe-af31-11e0-8154-cbc7ccf896c7"


class FakeAWS(MintServer):
    """One workload with a role.

    Args:
        issuer: Signs the tokens; on AWS there is one per account.
        claims: What differs from `platform_claims("aws")`.
        refusal: Let STS refuse with this code, for example `OutboundWebIdentityFederationDisabled`.
    """

    def __init__(
        self, issuer: FakeIssuer, claims: Mapping[str, object] | None = None, *, refusal: str | None = None
    ) -> None:
        super().__init__(issuer, platform_claims("aws", **(claims or {})))
        self.refusal = refusal
        self.key_id: Final = f"ASIA{secrets.token_hex(8).upper()}"
        self.secret_key: Final = secrets.token_urlsafe(30)
        self.session_token: Final = secrets.token_urlsafe(120)
        self._metadata_session: Final = secrets.token_urlsafe(40)
        self._container_token: Final = secrets.token_urlsafe(40)

    def environ(
        self, credentials: Literal["keys", "container", "instance", "none"] = "keys", *, chosen: bool = True
    ) -> dict[str, str]:
        """Return the variables of the workload.

        Args:
            credentials: Where its role's credentials are.
            chosen: Whether the user said `KEYLESS_PROVIDER=aws`.
        """
        environment = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_STS": self.origin}
        if chosen:
            environment["KEYLESS_PROVIDER"] = "aws"
        if credentials == "keys":
            environment["AWS_ACCESS_KEY_ID"] = self.key_id
            environment["AWS_SECRET_ACCESS_KEY"] = self.secret_key
            environment["AWS_SESSION_TOKEN"] = self.session_token
        elif credentials == "container":
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{self.origin}/v1/credentials"
            environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = self._container_token
        elif credentials == "instance":
            environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = self.origin
        return environment

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Serve all three; which one is asked shows in the path."""
        if asked.path == "/v1/credentials":
            if asked.header("authorization") != self._container_token:
                send_json(handler, 401, {"message": "Unauthorized"})
            else:
                send_json(handler, 200, self._credentials())
        elif asked.path.startswith("/latest/"):
            self._serve_instance(handler, asked)
        elif asked.method == "POST" and asked.path == "/":
            self._serve_sts(handler, asked)
        else:
            send_json(handler, 404, {"message": "no such path"})

    def _credentials(self) -> dict[str, object]:
        return {
            "AccessKeyId": self.key_id,
            "SecretAccessKey": self.secret_key,
            "Token": self.session_token,
            "Expiration": "2099-01-01T00:00:00Z",
        }

    def _serve_instance(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Version 2 of the metadata service: a session first ("Use IMDSv2")."""
        if asked.path == "/latest/api/token":
            if asked.method == "PUT" and asked.header("x-aws-ec2-metadata-token-ttl-seconds").isdecimal():
                send_text(handler, 200, self._metadata_session)
            else:
                send_text(handler, 400, "Bad Request")
        elif asked.header("x-aws-ec2-metadata-token") != self._metadata_session:
            send_text(handler, 401, "Unauthorized")
        elif asked.path == _METADATA:
            send_text(handler, 200, "builder")
        elif asked.path == f"{_METADATA}builder":
            send_json(handler, 200, {"Code": "Success", **self._credentials()})
        else:
            send_text(handler, 404, "Not Found")

    def _serve_sts(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        action = form.get("Action", "")
        if action == "AssumeRoleWithWebIdentity":
            self._assume(handler, form)
            return
        problem = self._signature_problem(asked)
        if problem is None and action != "GetWebIdentityToken":
            problem = (400, "InvalidAction")
        elif problem is None and self.refusal is not None:
            problem = (403, self.refusal)
        elif problem is None and not _is_complete(form):
            problem = (400, "ValidationError")
        if problem is not None:
            _refuse(handler, *problem)
            return
        self.lifetime_seconds = int(form.get("DurationSeconds", "300"))
        token = self.sign(form["Audience.member.1"])
        result = f"<WebIdentityToken>{token}</WebIdentityToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
        _answer(handler, "GetWebIdentityToken", result)

    def _assume(self, handler: BaseHTTPRequestHandler, form: Mapping[str, str]) -> None:
        if form.get("RoleArn") != ROLE_ARN or form.get("WebIdentityToken", "").count(".") != 2:
            _refuse(handler, 400, "InvalidIdentityToken")
            return
        _answer(
            handler,
            "AssumeRoleWithWebIdentity",
            f"<Credentials><AccessKeyId>{self.key_id}</AccessKeyId><SecretAccessKey>{self.secret_key}</SecretAccessKey>"
            f"<SessionToken>{self.session_token}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
            "</Credentials>",
        )

    def _signature_problem(self, asked: Asked) -> tuple[int, str] | None:
        """Check Signature Version 4 from the request alone, as "Create a signed AWS API request" describes it."""
        algorithm, _, rest = asked.header("authorization").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        scope = parts.get("Credential", "").split("/")
        if algorithm != "AWS4-HMAC-SHA256" or len(scope) != 5 or scope[2:] != [REGION, "sts", "aws4_request"]:
            return 403, "IncompleteSignature"
        if scope[0] != self.key_id or asked.header("x-amz-security-token") != self.session_token:
            return 403, "InvalidClientTokenId"
        names = parts.get("SignedHeaders", "").split(";")
        if not {"host", "x-amz-date", "x-amz-security-token"} <= set(names):
            return 403, "IncompleteSignature"
        canonical = "\n".join(
            [
                asked.method,
                asked.path,
                "",
                *(f"{name}:{' '.join(asked.header(name).split())}" for name in names),
                "",
                ";".join(names),
                hashlib.sha256(asked.body).hexdigest(),
            ]
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join([algorithm, asked.header("x-amz-date"), "/".join(scope[1:]), digest])
        key = f"AWS4{self.secret_key}".encode()
        for step in scope[1:]:
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(expected, parts.get("Signature", "")) else (403, "SignatureDoesNotMatch")


def _is_complete(form: Mapping[str, str]) -> bool:
    return (
        bool(form.get("Audience.member.1"))
        and form.get("SigningAlgorithm") in {"RS256", "ES384"}
        and form.get("Version") == "2011-06-15"
        and 60 <= int(form.get("DurationSeconds", "300")) <= 3600
    )


def _answer(handler: BaseHTTPRequestHandler, action: str, result: str) -> None:
    body = (
        f"<{action}Response {_NAMESPACE}><{action}Result>{result}</{action}Result>"
        f"<ResponseMetadata><RequestId>{_REQUEST_ID}</RequestId></ResponseMetadata></{action}Response>"
    )
    send(handler, 200, "text/xml", body.encode())


def _refuse(handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
    body = (
        f"<ErrorResponse {_NAMESPACE}><Error><Type>Sender</Type><Code>{code}</Code><Message>refused</Message></Error>"
        f"<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"
    )
    send(handler, status, "text/xml", body.encode())
