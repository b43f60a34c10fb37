"""GitLab CI/CD: the job declares `id_tokens:` and finds a token with a fixed audience in the variable it named.

Vendor documentation: "OpenID Connect (OIDC) Authentication Using ID Tokens" of GitLab Docs. A token that came through
`HF_OIDC_ID_TOKEN` and the like is `handed_over`'s, which is asked first; here is the rule of other tools that the
variable is named for the audience.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.handed_over import HandedOverToken, id_tokens_yaml, wrong_audience_hint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

NAME: Final = "gitlab"
TITLE: Final = "GitLab CI/CD"
SETUP: Final = "id_tokens: HF_OIDC_ID_TOKEN: aud: <endpoint> on the job"


def is_gitlab(environ: Mapping[str, str]) -> bool:
    """Return whether the job runs on GitLab."""
    return environ.get("GITLAB_CI") == "true"


def variable_names(audience: str) -> tuple[str, ...]:
    """Return the variables that other tools would read for this audience, best first.

    Upper case, and `_` for everything but ASCII letters and digits; one client also replaces a leading digit.
    """
    name = "".join(char if char.isascii() and char.isalnum() else "_" for char in audience).upper()
    names = [f"{name}_ID_TOKEN"]
    if name[:1].isdigit():
        names.append(f"_{name[1:]}_ID_TOKEN")
    return tuple(names)


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
    """Say whether the job runs on GitLab, and whether it declared an id token under a name we know."""
    if not is_gitlab(environ):
        return None
    hint = (
        f"Add this to the job in .gitlab-ci.yml (a job's own id_tokens replaces the one under default:):\n"
        f"{id_tokens_yaml(audience)}\n"
        "If the job already has the token under another name, set KEYLESS_ID_TOKEN_VAR to that name."
    )
    for variable in variable_names(audience):
        token = environ.get(variable, "").strip()
        if token:
            return HandedOverToken(NAME, variable, Secret(token), hint=wrong_audience_hint(audience, variable))
    return CannotMint(NAME, IdTokenPermissionError("this GitLab job has no id token that keyless can find", hint=hint))
