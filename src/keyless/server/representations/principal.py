"""Principals and logins as JSON, and back."""

from __future__ import annotations

from keyless.server.people.principal import EVERYWHERE, Principal, PrincipalKind, Role, RoleGrant, SignedIn
from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.server.store.admin.logins import LoginRecord


def role_json(grant: RoleGrant) -> dict[str, object]:
    """Return a role; `namespace` is null when it counts everywhere."""
    return {"role": grant.role.value, "namespace": grant.namespace or None}


def principal_json(principal: Principal) -> dict[str, object]:
    """Return a principal."""
    return {
        "name": principal.name,
        "kind": principal.kind.value,
        "enabled": principal.enabled,
        "version": principal.version,
        "roles": [role_json(grant) for grant in principal.roles],
        "created_by": principal.created_by,
        "created_at": principal.created_at,
    }


def signed_in_json(signed_in: SignedIn) -> dict[str, object]:
    """Return who is signed in, by which login and until when."""
    return {
        "login": signed_in.login_id,
        "principal": principal_json(signed_in.principal),
        "read_only": signed_in.read_only,
        "expires_at": signed_in.expires_at,
    }


def login_json(login: LoginRecord) -> dict[str, object]:
    """Return a login as a list shows it."""
    return {
        "id": login.id,
        "principal": login.principal,
        "read_only": login.read_only,
        "created_by": login.created_by,
        "created_at": login.created_at,
        "expires_at": login.expires_at,
    }


def principal_from_json(content: Json) -> Principal:
    """Read what `principal_json` writes; its inner id is not in there.

    Raises:
        ResponseError: It is something else. So for all of these.
    """
    return Principal(
        id="",
        name=reading.text(content, "name"),
        kind=reading.choice(content, "kind", PrincipalKind),
        enabled=reading.flag(content, "enabled"),
        version=reading.number(content, "version"),
        roles=tuple(
            RoleGrant(reading.choice(item, "role", Role), reading.maybe_text(item, "namespace") or EVERYWHERE)
            for item in reading.objects(content, "roles")
        ),
        created_by=reading.text(content, "created_by"),
        created_at=reading.number(content, "created_at"),
    )


def signed_in_from_json(content: Json) -> SignedIn:
    """Read what `signed_in_json` writes."""
    return SignedIn(
        principal_from_json(reading.mapping(content, "principal")),
        reading.text(content, "login"),
        reading.number(content, "expires_at"),
        reading.flag(content, "read_only"),
    )


def login_from_json(content: Json) -> LoginRecord:
    """Read what `login_json` writes."""
    return LoginRecord(
        reading.text(content, "id"),
        reading.text(content, "principal"),
        reading.flag(content, "read_only"),
        reading.text(content, "created_by"),
        reading.number(content, "created_at"),
        reading.number(content, "expires_at"),
    )
