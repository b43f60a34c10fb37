"""Which CI platform is this, and who gives the id token? The order is data.

A token handed over on purpose wins over detection; a platform's own marker wins over anything a machine might offer.
The first that answers is final: what it cannot do is reported, and nothing else is tried (promise S6).
"""

from __future__ import annotations

import os

from keyless.errors import ProviderNotFoundError
from keyless.providers import github, gitlab, handed_over
from keyless.providers.base import CanMint, CannotMint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.providers.base import Provider

PLATFORMS: Final[tuple[Provider, ...]] = (github, gitlab)  # how to tell them apart is in each file
ORDER: Final[tuple[Provider, ...]] = (handed_over, *PLATFORMS)


def detect_provider(environ: Mapping[str, str] | None = None) -> str | None:
    """Name the CI platform this job runs on, or `None` where no supported platform is found (S2).

    A platform is named also when the job lacks the permission to mint; asking for a token then says what to change.

    Args:
        environ: Variables to look at; the process's own by default.
    """
    environ = os.environ if environ is None else environ
    for platform in PLATFORMS:
        if platform.detect(environ, "") is not None:
            return platform.NAME
    return None


def find_mint(environ: Mapping[str, str], audience: str, *, only: str | None = None) -> CanMint:
    """Return the way this job gets its id token.

    Args:
        environ: Variables to look at.
        audience: What the token service expects in `aud`; some platforms name the variable for it.
        only: Ask this provider and no other.

    Raises:
        IdTokenPermissionError: The platform is known, but this job cannot have a token; the hint says what to add.
        ProviderNotFoundError: No platform was recognised and no token was handed over.
    """
    for provider in ORDER:
        if only not in {None, provider.NAME}:
            continue
        found = provider.detect(environ, audience)
        if isinstance(found, CannotMint):
            raise found.error
        if found is not None:
            return found
    hint = "On another CI, put the job's id token into HF_OIDC_ID_TOKEN (its audience must be the endpoint)."
    if github.act_hint(environ):
        hint = f"{github.act_hint(environ)}"
    elif environ.get("FORGEJO_ACTIONS") or environ.get("GITEA_ACTIONS"):
        hint = f"Forgejo and Gitea runners look like GitHub but are not minted natively. {hint}"
    raise ProviderNotFoundError(
        "no CI platform that can give an id token was found, and none was handed over", hint=hint
    )
