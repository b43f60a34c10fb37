"""Azure DevOps Pipelines: a POST with the job's access token, and one audience for all the world.

Vendor documentation: "Oidctoken - Create" of the Azure DevOps REST reference. The audience cannot be chosen, so the
token service has to accept `api://AzureADTokenExchange` from this issuer; whether it does is the service's to say.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "azure-devops"
TITLE: Final = "Azure DevOps Pipelines"
SETUP: Final = "env: SYSTEM_ACCESSTOKEN: $(System.AccessToken) on the step"

_URL_VARIABLE: Final = "SYSTEM_OIDCREQUESTURI"
_TOKEN_VARIABLE: Final = "SYSTEM_ACCESSTOKEN"
VARIABLES: Final = (_URL_VARIABLE, _TOKEN_VARIABLE)
CONNECTION_VARIABLE: Final = "KEYLESS_AZURE_SERVICE_CONNECTION_ID"
AUDIENCE: Final = "api://AzureADTokenExchange"
API_VERSION: Final = "7.1"
_LEG: Final = "Azure DevOps' id-token endpoint"

_MAPPING_HINT: Final = """\
The access token is a secret variable, which a step sees only when it maps it:
    - script: keyless exec -- ./publish.sh
      env:
        SYSTEM_ACCESSTOKEN: $(System.AccessToken)"""
_UNRESOLVED_HINT: Final = (
    "Azure DevOps leaves $(…) as it is when it knows no such variable. Write $(System.AccessToken) exactly so, under "
    "env: of the step (a template or a script cannot resolve it)."
)
_FORK_HINT: Final = (
    "This build was started by a pull request from a fork, which gets no secrets and so no access token. Publish from "
    "a branch or a tag instead."
)
_URL_HINT: Final = (
    "The agent sets SYSTEM_OIDCREQUESTURI by itself; a container started by hand needs it passed on, and an old agent "
    "or Azure DevOps Server may not have it."
)
_SIGN_IN_HINT: Final = (
    "The access token was not accepted. Is SYSTEM_ACCESSTOKEN mapped from $(System.AccessToken), in this job?"
)
REFUSED: Final = {
    0: f"If {CONNECTION_VARIABLE} is set, a task of this job must use that service connection too.",
    401: _SIGN_IN_HINT,
    203: _SIGN_IN_HINT,
}


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether the job runs on Azure DevOps, and whether its step maps the access token."""
    if environ.get("TF_BUILD", "").lower() != "true":
        return None
    url = environ.get(_URL_VARIABLE, "").strip()
    token = environ.get(_TOKEN_VARIABLE, "").strip()
    if token.startswith("$(") and token.endswith(")"):
        error = IdTokenPermissionError(f"{_TOKEN_VARIABLE} was not filled in: it holds $(…)", hint=_UNRESOLVED_HINT)
        return CannotMint(NAME, error)
    if not token:
        forked = environ.get("SYSTEM_PULLREQUEST_ISFORK", "").lower() == "true"
        error = IdTokenPermissionError(
            f"this Azure DevOps step does not see {_TOKEN_VARIABLE}", hint=_FORK_HINT if forked else _MAPPING_HINT
        )
        return CannotMint(NAME, error)
    if not url:
        return CannotMint(
            NAME, IdTokenPermissionError(f"this Azure DevOps step does not see {_URL_VARIABLE}", hint=_URL_HINT)
        )
    return AzureDevOpsMint(url, Secret(token), environ.get(CONNECTION_VARIABLE, "").strip())


class AzureDevOpsMint(CanMint):
    """The id-token endpoint of one Azure DevOps job; every call mints a new token of about five minutes.

    Args:
        url: `SYSTEM_OIDCREQUESTURI`.
        token: The job's access token.
        connection: Id of the service connection whose identity is wanted, or the empty text for the pipeline's own.
    """

    __slots__ = ("_connection", "_token", "_url")

    def __init__(self, url: str, token: Secret, connection: str) -> None:
        identity = Secret(f"{url}\n{connection}\n{token.reveal()}")
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._url = url
        self._token = token
        self._connection = connection

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:  # noqa: ARG002  # see above
        """Ask Azure DevOps for an id token (see `CanMint.mint`); its audience is always the same."""
        with import_lock:
            from urllib.parse import quote

            from keyless.providers.endpoint import Words, ask, read_member

        words = Words(_LEG, refused=REFUSED)
        separator = "&" if "?" in self._url else "?"
        url = f"{self._url}{separator}api-version={API_VERSION}"
        if self._connection:
            url += f"&serviceConnectionId={quote(self._connection, safe='')}"
        answer = ask(
            "POST",
            url,
            words=words,
            deadline=deadline,
            environ=environ,
            headers={
                "Authorization": f"Bearer {self._token.reveal()}",
                "Content-Type": "application/json",
                # Without it a refused token is answered with a redirect to a sign-in page.
                "X-TFS-FedAuthRedirect": "Suppress",
            },
            body=b"",
            secrets=[self._token.reveal()],
        )
        return Secret(read_member(answer, "oidcToken", words))
