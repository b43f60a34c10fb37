"""Which roles an identity provider's word gives: the values of one claim, and what each stands for here. Pure.

Nobody gets a role that no value names: without a match there is none (deny by default).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.people.principal import Role, RoleGrant

AUDITOR: Final = "auditor"
MAX_VALUES: Final = 1_000  # of one claim; a person in more groups than that is in some that matter to nobody


def parse_role_word(text: str) -> RoleGrant:
    """Return what a word of the settings stands for: `admin`, `auditor`, `owner:NAMESPACE` or `viewer:NAMESPACE`.

    Raises:
        ConfigurationError: It is none of these.
    """
    if text == Role.ADMIN.value:
        return RoleGrant(Role.ADMIN)
    if text == AUDITOR:  # who may look everywhere and change nothing
        return RoleGrant(Role.VIEWER)
    name, _, namespace = text.partition(":")
    if name not in {Role.OWNER.value, Role.VIEWER.value} or not namespace or "/" in namespace:
        raise ConfigurationError(
            f"role {text!a} is not known", hint="Write admin, auditor, owner:NAMESPACE or viewer:NAMESPACE."
        )
    parse_resource(namespace)  # a namespace is spelled like an account
    return RoleGrant(Role(name), namespace)


def roles_of(value: object, mapping: Mapping[str, Iterable[str]]) -> tuple[RoleGrant, ...]:
    """Return the roles that a claim gives, sorted.

    Args:
        value: The claim as it came: a text, or a list of texts. Anything else gives nothing.
        mapping: Value, compared exactly -> words of `parse_role_word`.
    """
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    named = {item for item in values[:MAX_VALUES] if isinstance(item, str)}
    return tuple(sorted({parse_role_word(word) for item in named for word in mapping.get(item, ())}))
