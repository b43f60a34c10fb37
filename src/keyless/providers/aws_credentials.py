"""Where a workload on AWS finds the credentials of its role, in the order of AWS's own clients.

Vendor documentation: "Standardized credential providers" of the AWS SDKs and Tools Reference Guide. Profiles in files
are a person's and are left out. The instance's metadata service is asked last, and only where the user chose AWS by
name: on a machine that is not on AWS the question would hang.
"""

from __future__ import annotations

from keyless.errors import MintError
from keyless.http.fork import import_lock
from keyless.providers.aws_signing import AwsCredentials
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline
    from keyless.http.transport import Response
    from keyless.providers.endpoint import Words

_CONTAINER_HOST: Final = "http://169.254.170.2"
# Besides loopback and https, the only places that AWS's clients send a container's authorization to.
_CONTAINER_ADDRESSES: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_METADATA_ENDPOINT: Final = "http://169.254.169.254"
_METADATA_PATH: Final = "/latest/meta-data/iam/security-credentials/"
_LOCAL_SECONDS: Final = 3.0  # one hop away; a container without a way to it would hang instead
_TRUE: Final = frozenset({"1", "true", "yes", "on"})

KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ROLE: Final = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
CONTAINER: Final = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
NOTHING_HINT: Final = (
    "keyless looks where AWS's clients look: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_ROLE_ARN with "
    "AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_*, then the instance's metadata service. Profiles in files "
    "are not read: `aws configure export-credentials --format env` turns one into variables."
)


def kind_of(environ: Mapping[str, str]) -> str:
    """Return which way leads to credentials: `keys`, `web-identity`, `container` or `instance`."""
    if environ.get(KEYS[0], "").strip() and environ.get(KEYS[1], "").strip():
        return "keys"
    if all(environ.get(name, "").strip() for name in ROLE):
        return "web-identity"
    if any(environ.get(name, "").strip() for name in CONTAINER):
        return "container"
    return "instance"


def from_keys(environ: Mapping[str, str]) -> AwsCredentials:
    """Return the credentials that are in variables."""
    session = environ.get(KEYS[2], "").strip()
    return AwsCredentials(
        environ[KEYS[0]].strip(), Secret(environ[KEYS[1]].strip()), Secret(session) if session else None
    )


def from_container(environ: Mapping[str, str], deadline: Deadline) -> AwsCredentials:
    """Ask the agent of ECS, EKS Pod Identity or CodeBuild for the role's credentials.

    Raises:
        MintError: The address is none that credentials may be asked of, or there are none.
        MintUnavailableError: It does not answer.
    """
    with import_lock:
        from keyless.http.url import is_loopback, parse_url
        from keyless.providers.endpoint import Words, ask, read_json
        from keyless.providers.local_http import sender
        from keyless.providers.token_file import read_token_file

    relative, full = (environ.get(name, "").strip() for name in CONTAINER)
    url = f"{_CONTAINER_HOST}{relative}" if relative else full
    parsed = parse_url(url, name=CONTAINER[0] if relative else CONTAINER[1])
    if parsed.scheme != "https" and not is_loopback(parsed.host) and parsed.host not in _CONTAINER_ADDRESSES:
        raise MintError(f"{CONTAINER[1]} is none of the addresses that may be asked for AWS credentials")
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "").strip()
    token_file = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "").strip()
    if token_file:
        hint = "The agent of EKS Pod Identity writes it; is its add-on running?"
        token = read_token_file(token_file, source="AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", missing_hint=hint)
    words = Words("AWS's container credential service", quotes=False)
    answer = ask(
        "GET",
        url,
        words=words,
        deadline=deadline.within(_LOCAL_SECONDS),
        environ=environ,
        headers={"Authorization": token} if token else {},
        secrets=[token],
        send=None if parsed.scheme == "https" else sender(),
    )
    return _read(read_json(answer, words), words)


def from_instance(environ: Mapping[str, str], deadline: Deadline) -> AwsCredentials:
    """Ask the instance's metadata service (version 2, with a session) for its role's credentials.

    Raises:
        MintError: The service is switched off, or the instance has no role.
        MintUnavailableError: It does not answer.
    """
    with import_lock:
        from urllib.parse import quote

        from keyless.providers.endpoint import Words, ask, is_token_text, read_json
        from keyless.providers.local_http import sender

    if environ.get("AWS_EC2_METADATA_DISABLED", "").strip().lower() in _TRUE:
        raise MintError("no AWS credentials in any variable, and AWS_EC2_METADATA_DISABLED is set", hint=NOTHING_HINT)
    base = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").strip().rstrip("/") or _METADATA_ENDPOINT
    words = Words(
        "AWS's instance metadata service",
        refused={404: "The instance has no role: attach an instance profile to it.", 0: NOTHING_HINT},
        outage=f"{NOTHING_HINT} In a container, the instance's hop limit for metadata must be 2.",
        quotes=False,
    )

    def call(method: str, path: str, headers: Mapping[str, str]) -> Response:
        return ask(
            method,
            f"{base}{path}",
            words=words,
            deadline=deadline.within(_LOCAL_SECONDS),
            environ=environ,
            headers=headers,
            body=b"" if method == "PUT" else None,
            send=sender(),
        )

    session = call("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    token = session.body.decode("ascii", "replace").strip()
    if not is_token_text(token):
        raise MintError(f"{words.leg} answered without a session", hint=words.intercepted)
    headers = {"X-aws-ec2-metadata-token": token}
    roles = call("GET", _METADATA_PATH, headers).body.decode("ascii", "replace").split()
    if not roles:
        raise MintError("this instance has no role", hint=words.refused[404])
    return _read(read_json(call("GET", f"{_METADATA_PATH}{quote(roles[0], safe='')}", headers), words), words)


def _read(document: Mapping[str, object], words: Words) -> AwsCredentials:
    return make(document.get("AccessKeyId"), document.get("SecretAccessKey"), document.get("Token"), words)


def make(key: object, secret: object, session: object, words: Words) -> AwsCredentials:
    """Return temporary credentials of which all three parts are there.

    Raises:
        MintError: One is not.
    """
    with import_lock:
        from keyless.providers.endpoint import is_token_text
    if (
        isinstance(key, str)
        and isinstance(secret, str)
        and isinstance(session, str)
        and all(is_token_text(part) for part in (key, secret, session))
    ):
        return AwsCredentials(key, Secret(secret), Secret(session))
    raise MintError(f"{words.leg} answered without credentials in it", hint=words.intercepted)
