"""Bitbucket Pipelines: a step with `oidc:` finds its one id token in a variable.

Vendor documentation: "Integrate Pipelines with resource servers using OIDC" of Atlassian Support.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.handed_over import HandedOverToken
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

NAME: Final = "bitbucket"
TITLE: Final = "Bitbucket Pipelines"
SETUP: Final = "oidc: audiences: [<endpoint>] on the step"

VARIABLES: Final = ("BITBUCKET_STEP_OIDC_TOKEN",)


def _hint(audience: str) -> str:
    return f"Write this in the step of bitbucket-pipelines.yml:\n{_lines(audience)}"


def _audience_hint(audience: str) -> str:
    return (
        "oidc: true alone gives a token for the workspace, and only audiences that the step lists are in it:\n"
        f"{_lines(audience)}"
    )


def _lines(audience: str) -> str:
    return f"    oidc:\n      audiences:\n        - {audience}"


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
    """Say whether the step runs on Bitbucket, and whether it has `oidc:`."""
    token = environ.get(VARIABLES[0], "").strip()
    if not token and not environ.get("BITBUCKET_BUILD_NUMBER"):
        return None
    if token:
        return HandedOverToken(NAME, VARIABLES[0], Secret(token), hint=_audience_hint(audience))
    return CannotMint(NAME, IdTokenPermissionError("this Bitbucket step has no id token", hint=_hint(audience)))
