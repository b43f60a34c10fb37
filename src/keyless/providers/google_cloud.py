"""Google Cloud: the metadata server of a machine, a Cloud Run service or a Cloud Build step mints for any audience.

Vendor documentation: "Verifying the identity of VMs" and "generateIdToken" of Google Cloud. This is the identity of a
machine and not of a CI job, so every CI platform is asked before. A plain virtual machine has no variable that says so;
there the user says it: `KEYLESS_PROVIDER=google-cloud`.
"""

from __future__ import annotations

from keyless.errors import MintError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint
from keyless.providers.choice import is_chosen
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline
    from keyless.http.transport import Response
    from keyless.providers.endpoint import Words

NAME: Final = "google-cloud"
TITLE: Final = "Google Cloud"
SETUP: Final = "a service account on the machine; KEYLESS_PROVIDER=google-cloud on a plain VM"

VARIABLES: Final[tuple[str, ...]] = ()  # the identity is the machine's; no variable holds it
HOST_VARIABLES: Final = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT")  # google-auth's, in its order
IMPERSONATE_VARIABLE: Final = "GOOGLE_SERVICE_ACCOUNT_NAME"
IAM_VARIABLE: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"  # gcloud's
_DEFAULT_HOST: Final = "metadata.google.internal"
_DEFAULT_IAM: Final = "https://iamcredentials.googleapis.com/"
_ACCOUNT_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default"
_PROBE_SECONDS: Final = 3.0  # the server is one hop away; a container without a way to it would hang instead
_LEG: Final = "Google's metadata server"
_IAM_LEG: Final = "Google's IAM credentials API"

_BLOCKED_HINT: Final = (
    "Nothing answers at the metadata server's address. Is this a Google machine? In a container, let its network reach "
    "169.254.169.254; on GKE, the pod's service account must be bound to a Google one (Workload Identity)."
)
REFUSED: Final = {
    0: "The metadata server wants the audience and the header Metadata-Flavor; does a proxy rewrite requests?",
    403: "The metadata server is switched off for this container or concealed by the cluster.",
    404: (
        "This machine has no service account, or (in Cloud Build with a service account of your own) no identity "
        "endpoint. Attach a service account to it."
    ),
}
_IAM_REFUSED: Final = {
    0: f"Is {IMPERSONATE_VARIABLE} the e-mail address of a service account?",
    403: (
        "The machine's service account needs the role Service Account OpenID Connect Identity Token Creator "
        f"(roles/iam.serviceAccountOpenIdTokenCreator) on the account that {IMPERSONATE_VARIABLE} names."
    ),
}


def detect(environ: Mapping[str, str], audience: str) -> CanMint | None:  # noqa: ARG001  # one shape for all
    """Say whether variables show a Google runtime, or the user insists on it. No network, no file."""
    if not is_chosen(environ, NAME) and not _looks_like_google(environ):
        return None
    host = next((environ[name].strip() for name in HOST_VARIABLES if environ.get(name, "").strip()), _DEFAULT_HOST)
    return GoogleCloudMint(
        host,
        seconds=_read_seconds(environ.get("GCE_METADATA_TIMEOUT", "")),
        impersonated=environ.get(IMPERSONATE_VARIABLE, "").strip(),
        iam=environ.get(IAM_VARIABLE, "").strip() or _DEFAULT_IAM,
    )


def _looks_like_google(environ: Mapping[str, str]) -> bool:
    if environ.get("NO_GCE_CHECK", "").lower() == "true":
        return False
    if any(environ.get(name) for name in (*HOST_VARIABLES, "GCE_METADATA_IP", "CLOUD_RUN_JOB", "BUILDER_OUTPUT")):
        return True
    # Knative sets K_SERVICE on any cluster; Cloud Run does not look like a cluster.
    return bool(environ.get("K_SERVICE")) and not environ.get("KUBERNETES_SERVICE_HOST")


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return _PROBE_SECONDS
    return seconds if 0 < seconds <= 60 else _PROBE_SECONDS


class GoogleCloudMint(CanMint):
    """The metadata server; every call gives a token of about an hour, which the server may keep for a while.

    Args:
        host: Its host, with or without a port.
        seconds: How long one request may take.
        impersonated: E-mail address of another service account to be, or the empty text.
        iam: Base URL of the API that makes the other account's token.
    """

    __slots__ = ("_host", "_iam", "_impersonated", "_seconds")

    def __init__(self, host: str, *, seconds: float, impersonated: str, iam: str) -> None:
        identity = Secret(f"{host}\n{impersonated}")
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._host = host
        self._seconds = seconds
        self._impersonated = impersonated
        self._iam = iam if iam.endswith("/") else f"{iam}/"

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Ask Google for an id token (see `CanMint.mint`)."""
        with import_lock:
            from urllib.parse import quote

            from keyless.providers.endpoint import Words, as_token

        words = Words(_LEG, refused=REFUSED, outage=_BLOCKED_HINT)
        if self._impersonated:
            return self._impersonate(audience, words, deadline, environ)
        answer = self._get(f"/identity?audience={quote(audience, safe='')}&format=full", words, deadline, environ)
        return Secret(as_token(answer.body.decode("ascii", "replace").strip(), answer, words))

    def _get(self, path: str, words: Words, deadline: Deadline, environ: Mapping[str, str]) -> Response:
        with import_lock:
            from keyless.providers.endpoint import ask
            from keyless.providers.local_http import sender

        return ask(
            "GET",
            f"http://{self._host}{_ACCOUNT_PATH}{path}",
            words=words,
            deadline=deadline.within(self._seconds),
            environ=environ,
            headers={"Metadata-Flavor": "Google"},
            send=sender(),
        )

    def _impersonate(self, audience: str, words: Words, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        with import_lock:
            import json
            from urllib.parse import quote

            from keyless.providers.endpoint import Words, ask, is_token_text, read_json, read_member

        access_token = read_json(self._get("/token", words, deadline, environ), words).get("access_token")
        if not isinstance(access_token, str) or not is_token_text(access_token):
            raise MintError(f"{_LEG} gave no access token to impersonate with", hint=words.intercepted)
        iam_words = Words(_IAM_LEG, refused=_IAM_REFUSED)
        answer = ask(
            "POST",
            f"{self._iam}v1/projects/-/serviceAccounts/{quote(self._impersonated, safe='@')}:generateIdToken",
            words=iam_words,
            deadline=deadline,
            environ=environ,
            headers={"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
            body=json.dumps({"audience": audience, "includeEmail": True}).encode(),
            secrets=[access_token],
        )
        return Secret(read_member(answer, "token", iam_words))
