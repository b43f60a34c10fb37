"""An id token that somebody else obtained and put into a variable (S5): works on any CI platform."""

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

NAME: Final = "handed-over"
TITLE: Final = "any CI (a token handed over)"
SETUP: Final = "HF_OIDC_ID_TOKEN=<id token whose aud is the endpoint>"

MAX_NAME_CHARS: Final = 128  # of a variable; a token is longer
POINTER_VARIABLE: Final = "KEYLESS_ID_TOKEN_VAR"
VARIABLES: Final = ("HF_OIDC_ID_TOKEN", "KEYLESS_ID_TOKEN")  # in this order


def id_tokens_yaml(audience: str, variable: str = VARIABLES[0]) -> str:
    """Return the lines of a `.gitlab-ci.yml` that give a job the token it needs."""
    return f"    id_tokens:\n      {variable}:\n        aud: {audience}"


def wrong_audience_hint(audience: str, variable: str) -> str:
    """Return how a GitLab job gets its token for another audience."""
    return f"The job asks for another audience. Change its aud in .gitlab-ci.yml:\n{id_tokens_yaml(audience, variable)}"


def _gitlab_hint(environ: Mapping[str, str], variable: str, audience: str) -> str | None:
    if environ.get("GITLAB_CI") != "true":
        return None
    return f"Write this in the job's part of .gitlab-ci.yml:\n{id_tokens_yaml(audience, variable)}"


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
    """Say whether an id token was handed over: by the variable `KEYLESS_ID_TOKEN_VAR` names, or by one of ours."""
    named = environ.get(POINTER_VARIABLE, "").strip()
    if named:
        if not named.isidentifier() or len(named) > MAX_NAME_CHARS:
            # Not quoted: people put the token itself here.
            error = IdTokenPermissionError(
                f"{POINTER_VARIABLE} is to hold the name of a variable, and what it holds is not one",
                hint=f"To hand over the id token itself, use {VARIABLES[0]}; {POINTER_VARIABLE} names where it is.",
            )
            return CannotMint(NAME, error)
        token = environ.get(named, "").strip()
        if token:
            return HandedOverToken(NAME, named, Secret(token))
        error = IdTokenPermissionError(
            f"{POINTER_VARIABLE} says the id token is in {named}, but that variable is empty",
            hint=_gitlab_hint(environ, named, audience)
            or f"Fill {named} in the job's configuration, or unset {POINTER_VARIABLE}.",
        )
        return CannotMint(NAME, error)
    for variable in VARIABLES:
        token = environ.get(variable, "").strip()
        if token:
            return HandedOverToken(NAME, variable, Secret(token))
    return None


class HandedOverToken(CanMint):
    """The one id token of a job, in a variable. Its audience was fixed when it was made.

    Args:
        provider: Name of the platform it belongs to.
        variable: Name of the variable it is in.
        token: The token.
        hint: How to get one with the right audience.
    """

    __slots__ = ("_hint", "_token", "_variable")

    def __init__(self, provider: str, variable: str, token: Secret, *, hint: str | None = None) -> None:
        super().__init__(provider, identity=token, mints_anew=False, variables=(variable,))
        self._variable = variable
        self._token = token
        self._hint = hint

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:  # noqa: ARG002  # one shape for all
        """Return the token after a look at its audience (see `CanMint.mint`)."""
        with import_lock:
            from keyless.providers.unverified import check_audience

        hint = (
            self._hint
            or (wrong_audience_hint(audience, self._variable) if environ.get("GITLAB_CI") == "true" else None)
            or f"Request the id token with exactly this audience: {audience}"
        )
        check_audience(self._token.reveal(), audience, source=self._variable, hint=hint)
        return self._token
