"""People by what an identity provider says of them: bound by issuer and subject, never by a name or an e-mail (T36).

Roles are the provider's word of the last sign-in, whatever they were before; with none there is no way in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from keyless.server.people.principal import Principal, PrincipalKind, RoleGrant
from keyless.server.store.admin import principals
from keyless.server.store.admin.change import Change

MAX_NAME_CHARS: Final = 40  # what is left of the 64 takes a number
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9._@-]+")


def sign_in(
    change: Change, *, issuer: str, subject: str, name: str, roles: Sequence[RoleGrant]
) -> tuple[Principal | None, bool]:
    """Return the person of a provider's word, made or brought up to date, and whether it is new.

    `None` when nothing gives it a role: a stranger leaves no row, and whoever had roles has them no longer.
    """
    found = principals.find_identity(change.connection, issuer, subject)
    if found is None:
        if not roles:
            return None, False
        free = _free_name(change, name, issuer, subject)
        made = principals.add(change, free, PrincipalKind.PERSON, roles, identity=(issuer, subject))
        return made, True
    if found.enabled:
        found = principals.set_roles(change, found.name, roles, last_admin_may_go=True)
    return (found if roles else None), False


def _free_name(change: Change, wanted: str, issuer: str, subject: str) -> str:
    """Return a name that nobody has: what the provider proposes is no claim to somebody's place."""
    plain = _NOT_OF_A_NAME.sub("-", wanted.lower())[:MAX_NAME_CHARS].strip("._@-")
    digest = hashlib.sha256(f"{issuer}\0{subject}".encode("utf-8", "surrogatepass")).hexdigest()
    base = plain or f"person-{digest[:10]}"
    if principals.find(change.connection, base) is None:
        return base
    return f"{base}.{digest[:16]}"
