"""Which CI platform is this, and who gives the id token?

A provider that the user insists on is the only one asked. Otherwise the first of `keyless.providers.order` that answers
is final: what it cannot do is reported, and nothing else is tried (promise S6).
"""

from __future__ import annotations

import os

from keyless.errors import ProviderNotFoundError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.order import NAMES, ORDER, chosen, enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyless.providers.order import Entry

__all__ = ["NAMES", "ORDER", "detect_provider", "find_mint"]


def detect_provider(environ: Mapping[str, str] | None = None) -> str | None:
    """Name the platform this job can mint on, or `None` where no supported platform is found (S2).

    A CI platform is named also when the job lacks the permission to mint; asking for a token then says what to change.
    The exception is Forgejo, whose instances without the feature look the same. A handed-over token is no platform.

    Args:
        environ: Variables to look at; the process's own by default.

    Raises:
        OIDCConfigurationError: `KEYLESS_PROVIDER` or `KEYLESS_DISABLE_PROVIDERS` names a provider that does not exist.
    """
    environ = os.environ if environ is None else environ
    choice = chosen(environ)
    for entry in enabled(environ) if choice is None or choice.kind == "source" else (choice,):
        if entry.kind == "source":
            continue
        found = entry.detect(environ, "")
        if found is not None:
            return entry.NAME if entry.named_when_unable or not isinstance(found, CannotMint) else None
    return None


def find_mint(environ: Mapping[str, str], audience: str, *, only: str | None = None) -> CanMint:
    """Return the way this job gets its id token.

    Args:
        environ: Variables to look at.
        audience: What the token service expects in `aud`; some platforms name the variable for it.
        only: Ask this provider and no other; `KEYLESS_PROVIDER` by default.

    Raises:
        IdTokenPermissionError: The platform is known, but this job cannot have a token; the hint says what to add.
        ProviderNotFoundError: No platform was recognised and no token was handed over.
        OIDCConfigurationError: A variable about providers cannot work.
    """
    if only is not None:
        environ = {**environ, "KEYLESS_PROVIDER": only, "KEYLESS_DISABLE_PROVIDERS": ""}
    choice = chosen(environ)
    for entry in enabled(environ) if choice is None else (choice,):
        found = entry.detect(environ, audience)
        if isinstance(found, CannotMint):
            raise found.error
        if found is not None:
            return found
    if choice is not None:
        raise _not_chosen(choice)
    with import_lock:
        from keyless.providers.absent import explain_absence
    raise ProviderNotFoundError(
        "no CI platform that can give an id token was found, and none was handed over",
        hint=explain_absence(environ, audience),
    )


def _not_chosen(choice: Entry) -> ProviderNotFoundError:
    return ProviderNotFoundError(
        f"{choice.NAME} was chosen, but nothing of {choice.TITLE} is to be seen in this job's environment",
        hint=f"It needs: {choice.SETUP}\nA container that was started by hand must be passed the platform's variables.",
    )
