"""Principals and logins as JSON."""

from __future__ import annotations

from keyless.server.people.principal import Principal, RoleGrant, SignedIn
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
