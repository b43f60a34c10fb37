"""What a command of a package registry's ecosystem finds its token by, under `keyless exec --for`."""

from __future__ import annotations

import contextlib
import os
import time

from keyless.cli.output import mask, note
from keyless.client.registries.login import find_dialect, registry_login
from keyless.errors import Error
from keyless.http.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_REVOKE_SECONDS: Final = 5.0  # a job should not wait long for a courtesy


def registry_environment(
    kind: str, endpoint: str, package: str | None, folder: str
) -> tuple[dict[str, str], Callable[[], None]]:
    """Return the variables for the command, and what takes the token back as far as the registry lets us.

    Raises:
        OIDCError: No token could be had.
    """
    dialect = find_dialect(kind)
    token = registry_login(kind, endpoint=endpoint, package=package)
    mask(token.access_token.reveal())
    at = time.strftime("at %Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + token.expires_in))
    note(f"keyless: the command gets a token of {endpoint} that ends {at}; it cannot be refreshed")

    def burn() -> None:
        revoke = getattr(dialect, "revoke", None)  # not every registry's protocol has one
        if revoke is not None:
            with contextlib.suppress(Error):  # it ends soon anyway
                revoke(token.access_token, endpoint, deadline=Deadline(_REVOKE_SECONDS), environ=os.environ)

    return dialect.variables(endpoint, token.access_token, folder), burn
