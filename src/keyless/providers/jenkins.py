"""Jenkins with the OpenID Connect Provider plugin: a credential, bound to a variable or file that the pipeline names.

Vendor documentation: "OpenID Connect Provider" of the Jenkins plugin site. Each binding signs a new token, which stays
the same inside its block. Under the names of `handed_over` and `token_file` the token is found before this file is
asked; here are the names that follow the audience, and what to do when there is nothing.
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

NAME: Final = "jenkins"
TITLE: Final = "Jenkins (OpenID Connect Provider plugin)"
SETUP: Final = "withCredentials([string(credentialsId: …, variable: 'HF_OIDC_ID_TOKEN')])"

VARIABLES: Final = ("HF_OIDC_ID_TOKEN", "KEYLESS_ID_TOKEN_FILE")
_URL_HINT: Final = (
    "JENKINS_URL is not set either: without it (Manage Jenkins > System > Jenkins URL) the plugin's tokens have no "
    "usable issuer."
)


def _audience_hint(audience: str) -> str:
    return (
        "The credential has another audience, or none. Manage Jenkins > Credentials > the id token: set its audience "
        f"to exactly\n    {audience}"
    )


def _hint(audience: str, *, has_url: bool) -> str:
    lines = (
        "Make a credential of the kind 'OpenID Connect id token' whose audience is exactly this:\n"
        f"    {audience}\n"
        "and bind it around the step that publishes (each binding signs a new token, good for an hour):\n"
        "    withCredentials([string(credentialsId: 'keyless', variable: 'HF_OIDC_ID_TOKEN')]) { … }\n"
        "or, for a token as file: file(credentialsId: 'keyless', variable: 'KEYLESS_ID_TOKEN_FILE')"
    )
    return lines if has_url else f"{lines}\n{_URL_HINT}"


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
    """Say whether the build runs on Jenkins, and whether it bound an id token under a name we know."""
    has_url = bool(environ.get("JENKINS_URL"))
    if not (has_url and environ.get("BUILD_ID")) and not environ.get("BUILD_TAG", "").startswith("jenkins-"):
        return None
    with import_lock:
        from keyless.providers.gitlab import variable_names
        from keyless.providers.handed_over import HandedOverToken
        from keyless.providers.token_file import FileToken

    hint = _hint(audience, has_url=has_url)
    for name in variable_names(audience):
        token = environ.get(name, "").strip()
        if token:
            return HandedOverToken(NAME, name, Secret(token), hint=_audience_hint(audience))
        path = environ.get(f"{name}_FILE", "").strip()
        if path:
            return FileToken(
                NAME,
                path,
                source=f"{name}_FILE",
                variables=(f"{name}_FILE",),
                audience_hint=_audience_hint("{audience}"),
                missing_hint="A bound file is there only inside its withCredentials block.",
            )
    return CannotMint(NAME, IdTokenPermissionError("this Jenkins build bound no id token", hint=hint))
