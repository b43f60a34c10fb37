"""Kubernetes: a service-account token projected into the pod, or one asked of the cluster's API.

Vendor documentation: "Configure Service Accounts for Pods" and "TokenRequest". A pod is a machine, not a CI job: it
counts only when a token was mounted for keyless, or when the user insists (`KEYLESS_PROVIDER=kubernetes`). The default
token of a pod is for the API server and is never sent anywhere else.
"""

from __future__ import annotations

import os

from keyless.errors import IdTokenPermissionError, MintError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.choice import is_chosen
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "kubernetes"
TITLE: Final = "Kubernetes service account"
SETUP: Final = "a projected serviceAccountToken volume mounted at /var/run/secrets/keyless"

FILE_VARIABLE: Final = "KEYLESS_KUBERNETES_TOKEN_FILE"
VARIABLES: Final = (FILE_VARIABLE,)
TOKEN_PATH: Final = "/var/run/secrets/keyless/token"
SERVICE_ACCOUNT_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS: Final = 600  # the least that TokenRequest accepts
# Files that a cloud's webhook mounts, each for the one audience it is good for.
_CLOUD_FILES: Final = (
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "sts.amazonaws.com"),
    ("AZURE_FEDERATED_TOKEN_FILE", "api://AzureADTokenExchange"),
)
_LEG: Final = "the cluster's TokenRequest API"

_VOLUME_HINT: Final = """\
Project a token for the endpoint into the pod (not with subPath: such a file is never renewed):
    volumes:
      - name: keyless
        projected:
          sources:
            - serviceAccountToken: {path: token, audience: "{audience}", expirationSeconds: 3600}
    containers:
      - volumeMounts:
          - {name: keyless, mountPath: /var/run/secrets/keyless, readOnly: true}"""
_AUDIENCE_HINT: Final = (
    "The volume asks for another audience; the pod's default token is for the API server and for nobody else.\n"
    + _VOLUME_HINT
)
_OUTSIDE_HINT: Final = "KUBERNETES_SERVICE_HOST is not set here; the kubelet sets it in every pod."
_AUTOMOUNT_HINT: Final = (
    "The pod has no API token (automountServiceAccountToken: false?). Mount a projected token instead."
)
REFUSED: Final = {
    0: "See the API server's audit log for the reason.",
    401: "The pod's API token is not accepted (any more).",
    403: (
        "Allow the service account to make tokens of its own: a Role with apiGroups [''], resources "
        "['serviceaccounts/token'], resourceNames [its name], verbs ['create']. Or mount a projected token instead."
    ),
    404: "The service account is gone, or the cluster is older than TokenRequest (1.22).",
}


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
    """Say whether a token was mounted for this audience, or the user insists on asking the cluster.

    Looks at variables, and in a pod for one file: the documented place of a token that was mounted for keyless.
    """
    chosen = is_chosen(environ, NAME)
    in_pod = bool(environ.get("KUBERNETES_SERVICE_HOST"))
    path = environ.get(FILE_VARIABLE, "").strip()
    if path:
        return _file(path, FILE_VARIABLE)
    if not in_pod:
        error = IdTokenPermissionError("kubernetes was chosen, but this is not a pod", hint=_OUTSIDE_HINT)
        return CannotMint(NAME, error) if chosen else None
    if os.path.exists(TOKEN_PATH):  # noqa: PTH110  # pathlib costs the cold path 3 ms
        return _file(TOKEN_PATH, "the pod's keyless volume")
    for name, only_audience in _CLOUD_FILES:
        if audience == only_audience and environ.get(name, "").strip():
            return _file(environ[name].strip(), name)
    if chosen:
        host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
        return TokenRequest(f"https://{f'[{host}]' if ':' in host else host}:{port}")
    return None


def pod_hint(environ: Mapping[str, str], audience: str) -> str | None:
    """Return what to mount in a pod that has no token for us, or `None` outside a pod."""
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    return f"This is a Kubernetes pod. {_VOLUME_HINT.replace('{audience}', audience)}"


def _file(path: str, source: str) -> CanMint:
    with import_lock:
        from keyless.providers.token_file import FileToken

    return FileToken(
        NAME, path, source=source, variables=VARIABLES, audience_hint=_AUDIENCE_HINT, missing_hint=_VOLUME_HINT
    )


class TokenRequest(CanMint):
    """The cluster's own mint; every call makes a new token for the audience.

    Args:
        api: Base URL of the API server.
        directory: Where the pod's API token, its namespace and the cluster's authority are.
    """

    __slots__ = ("_api", "_directory")

    def __init__(self, api: str, directory: str = SERVICE_ACCOUNT_DIRECTORY) -> None:
        super().__init__(NAME, identity=Secret(f"{api}\n{directory}"), mints_anew=True, variables=VARIABLES)
        self._api = api
        self._directory = directory

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Make a token of the pod's own service account (see `CanMint.mint`)."""
        with import_lock:
            import json
            from urllib.parse import quote

            from keyless.providers.endpoint import Words, as_token, ask, read_json
            from keyless.providers.local_http import sender
            from keyless.providers.token_file import read_token_file

        def read(name: str) -> str:
            return read_token_file(f"{self._directory}/{name}", source="the pod", missing_hint=_AUTOMOUNT_HINT)

        api_token, namespace = read("token"), read("namespace")
        authority = f"{self._directory}/ca.crt"
        if not os.access(authority, os.R_OK):
            raise MintError("the pod does not have the certificate of its cluster (ca.crt)", hint=_AUTOMOUNT_HINT)
        account = _service_account(api_token)
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(account, safe='')}/token"
        words = Words(_LEG, refused=REFUSED, outage="The cluster's API server does not answer this pod.")
        answer = ask(
            "POST",
            f"{self._api}{path}",
            words=words,
            deadline=deadline,
            environ=environ,
            headers={"Authorization": f"Bearer {api_token}", "Content-Type": "application/json"},
            body=json.dumps(
                {
                    "apiVersion": "authentication.k8s.io/v1",
                    "kind": "TokenRequest",
                    "spec": {"audiences": [audience], "expirationSeconds": TOKEN_SECONDS},
                }
            ).encode(),
            secrets=[api_token],
            accepted=(200, 201),
            send=sender(authority),
        )
        status = read_json(answer, words).get("status")
        return Secret(as_token(status.get("token") if isinstance(status, dict) else None, answer, words))


def _service_account(api_token: str) -> str:
    """Return the name of the pod's service account, as its API token tells it."""
    with import_lock:
        from keyless.providers.unverified import read_unverified_claims

    subject = read_unverified_claims(api_token, source="the pod's API token").get("sub")
    kind, _, name = str(subject).rpartition(":")
    if not kind.startswith("system:serviceaccount:") or not name:
        raise MintError("the pod's API token does not belong to a service account", hint=_AUTOMOUNT_HINT)
    return name
