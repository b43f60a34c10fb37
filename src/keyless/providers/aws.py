"""AWS: STS signs a token about the caller's role for any audience (`GetWebIdentityToken`, since November 2025).

Vendor documentation: "GetWebIdentityToken" of the STS API Reference and "Getting started with outbound identity
federation" of the IAM User Guide. The identity is a role's and not a CI job's. Variables that only a workload of AWS
has (CodeBuild, ECS, Lambda) make this provider answer; keys in variables and the role of an instance may be there for
another purpose, so with those the user says it: `KEYLESS_PROVIDER=aws`.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.choice import is_chosen
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline
    from keyless.http.transport import Response
    from keyless.providers.aws_signing import AwsCredentials
    from keyless.providers.endpoint import Words

NAME: Final = "aws"
TITLE: Final = "AWS (STS outbound identity federation)"
SETUP: Final = "iam:EnableOutboundWebIdentityFederation once; allow sts:GetWebIdentityToken; KEYLESS_PROVIDER=aws"

MARKERS: Final = ("CODEBUILD_BUILD_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_LAMBDA_FUNCTION_NAME")
VARIABLES: Final[tuple[str, ...]] = ()  # the role's credentials are for AWS first; a command may well need them there
TOKEN_SECONDS: Final = 300  # STS's own default; minted anew for every exchange
SIGNING_ALGORITHM: Final = "RS256"
_VERSION: Final = "2011-06-15"
_LEG: Final = "AWS STS"

_REGION_HINT: Final = (
    "Set AWS_REGION: STS has this call at its regional endpoints only, and the token's claims name the region."
)
REFUSED: Final = {
    "OutboundWebIdentityFederationDisabled": (
        "Let an administrator switch it on once for the account: aws iam enable-outbound-web-identity-federation. "
        "Its answer is the issuer to trust."
    ),
    "AccessDenied": (
        "Allow the role sts:GetWebIdentityToken. A condition on sts:IdentityTokenAudience must name this endpoint, one "
        "on sts:SigningAlgorithm RS256."
    ),
    "SessionDurationEscalation": (
        "The role's session ends sooner than the token would (five minutes): assume the role anew."
    ),
    "JWTPayloadSizeExceeded": "The role carries too many tags to fit into a token.",
    "ExpiredToken": "The AWS credentials in the job's variables have expired: assume the role anew.",
    "InvalidClientTokenId": "The access key does not exist (any more), or belongs to another partition of AWS.",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID, or the clock is wrong.",
    "RequestExpired": "This machine's clock is off by more than five minutes.",
    "InvalidAction": "This region's STS does not know GetWebIdentityToken; set AWS_REGION to another one.",
    "InvalidIdentityToken": "The cluster's token was not accepted for the role: is its OIDC provider set up in IAM?",
}
_UNKNOWN_HINT: Final = "See the code in the documentation of AWS STS, or the call in CloudTrail."
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable"})


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether variables show a workload of AWS, or the user insists on it. No network, no file."""
    if not is_chosen(environ, NAME) and not any(environ.get(name) for name in MARKERS):
        return None
    region = (environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "").strip()
    if not region or not region.isascii() or not region.replace("-", "").isalnum():
        return CannotMint(NAME, IdTokenPermissionError("the AWS region is not known", hint=_REGION_HINT))
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    named = environ.get("AWS_ENDPOINT_URL_STS", "").strip() or environ.get("AWS_ENDPOINT_URL", "").strip()
    return AwsMint(region, named.rstrip("/") or f"https://sts.{region}.{suffix}", environ)


class AwsMint(CanMint):
    """STS of one region; every call signs a new token of five minutes.

    Args:
        region: Its region.
        endpoint: Base URL of STS there.
        environ: Variables that lead to credentials; they are found and renewed at every mint.
    """

    __slots__ = ("_endpoint", "_region")

    def __init__(self, region: str, endpoint: str, environ: Mapping[str, str]) -> None:
        with import_lock:
            from keyless.providers.aws_credentials import CONTAINER, KEYS, ROLE

        parts = [environ.get(name, "") for name in (*KEYS, *ROLE, *CONTAINER)]
        identity = Secret("\n".join([endpoint, region, *parts]))
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._region = region
        self._endpoint = endpoint

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Ask STS for a token about the caller (see `CanMint.mint`)."""
        with import_lock:
            from keyless.http.url import parse_url
            from keyless.providers.aws_signing import sign_form
            from keyless.providers.endpoint import Words, as_token

        words = Words(_LEG, quotes=False)
        credentials = self._credentials(words, deadline, environ)
        body = _form(
            Action="GetWebIdentityToken",
            Version=_VERSION,
            DurationSeconds=str(TOKEN_SECONDS),
            SigningAlgorithm=SIGNING_ALGORITHM,
            **{"Audience.member.1": audience},
        )
        host = parse_url(f"{self._endpoint}/", name="AWS_ENDPOINT_URL_STS").authority
        headers = sign_form(body, host=host, region=self._region, service="sts", credentials=credentials)
        answer = self._post(body, headers, words, deadline, environ, credentials.secrets)
        return Secret(as_token(_element(answer.body, "WebIdentityToken"), answer, words))

    def _credentials(self, words: Words, deadline: Deadline, environ: Mapping[str, str]) -> AwsCredentials:
        with import_lock:
            from keyless.providers import aws_credentials as sources

        match sources.kind_of(environ):
            case "keys":
                return sources.from_keys(environ)
            case "web-identity":
                return self._assume(words, deadline, environ)
            case "container":
                return sources.from_container(environ, deadline)
            case _:
                return sources.from_instance(environ, deadline)

    def _assume(self, words: Words, deadline: Deadline, environ: Mapping[str, str]) -> AwsCredentials:
        """Turn the cluster's token into the role's credentials (EKS, "IAM roles for service accounts")."""
        with import_lock:
            from keyless.providers.aws_credentials import ROLE, make
            from keyless.providers.aws_signing import FORM
            from keyless.providers.token_file import read_token_file

        hint = "The pod identity webhook of EKS mounts it; was the pod made before its service account was annotated?"
        token = read_token_file(environ[ROLE[1]].strip(), source=ROLE[1], missing_hint=hint)
        body = _form(
            Action="AssumeRoleWithWebIdentity",
            Version=_VERSION,
            RoleArn=environ[ROLE[0]].strip(),
            RoleSessionName=environ.get("AWS_ROLE_SESSION_NAME", "").strip() or "keyless",
            WebIdentityToken=token,
        )
        answer = self._post(body, {"Content-Type": FORM}, words, deadline, environ, [token])
        key, secret, session = (
            _element(answer.body, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
        )
        return make(key, secret, session, words)

    def _post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        words: Words,
        deadline: Deadline,
        environ: Mapping[str, str],
        secrets: list[str],
    ) -> Response:
        with import_lock:
            from keyless.providers.endpoint import ask

        answer = ask(
            "POST",
            f"{self._endpoint}/",
            words=words,
            deadline=deadline,
            environ=environ,
            headers={**headers, "Accept": "text/xml"},
            body=body,
            secrets=secrets,
            accepted=(200, 400, 401, 403),  # a refusal has a code in it that is worth more than the status
        )
        if answer.status != 200:
            _refuse(answer)
        return answer


def _refuse(answer: Response) -> None:
    code = (_element(answer.body, "Code") or "no code").removesuffix("Exception")
    name = code if code.isalnum() and len(code) <= 64 else "no code"
    message = f"{_LEG} refused (HTTP {answer.status}, {name})"
    if name in _THROTTLED:
        raise MintUnavailableError(message, status=answer.status, hint="AWS limits how often this is asked. Try later.")
    raise MintError(message, status=answer.status, hint=REFUSED.get(name, _UNKNOWN_HINT))


def _form(**fields: str) -> bytes:
    with import_lock:
        from urllib.parse import quote, urlencode

    return urlencode(sorted(fields.items()), quote_via=quote).encode()


def _element(document: bytes, name: str) -> str | None:
    """Return the text of the first element of that name; enough for flat answers, and no parser to attack."""
    head, opening, rest = document.decode("utf-8", "replace").partition(f"<{name}>")
    del head
    text, closing, _ = rest.partition(f"</{name}>")
    return text.strip() if opening and closing else None
