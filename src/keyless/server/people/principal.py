"""Principals and roles: who may do what in which namespace (D13). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EVERYWHERE: Final = ""
"""The namespace of a role that counts everywhere."""


class PrincipalKind(StrEnum):
    """Tell people from machines: a machine reads and never changes anything (T99)."""

    PERSON = "person"
    MACHINE = "machine"


class Role(StrEnum):
    """Name what a principal may do.

    An admin does everything, and only everywhere. An owner changes what belongs to a namespace. A viewer reads it.
    """

    ADMIN = "admin"
    OWNER = "owner"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, order=True)
class RoleGrant:
    """Give a role in one namespace, or everywhere."""

    role: Role
    namespace: str = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Principal:
    """One who may sign in. `version` grows with every change; times are Unix seconds.

    `provider` is the issuer at which somebody signs in whose roles come from there; `None` for all others.
    """

    id: str
    name: str
    kind: PrincipalKind
    enabled: bool
    version: int
    roles: tuple[RoleGrant, ...]
    created_by: str
    created_at: int
    provider: str | None = None

    @property
    def actor(self) -> str:
        """Return how the audit names whatever this one does."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A principal with a login that is good now.

    Attributes:
        principal: Who.
        login_id: Which login, for signing out.
        expires_at: Unix seconds.
        read_only: It can change nothing, whatever the roles say.
    """

    principal: Principal
    login_id: str
    expires_at: int
    read_only: bool

    @property
    def is_admin(self) -> bool:
        """Tell whether this one may do everything."""
        return not self.read_only and self._has(Role.ADMIN, EVERYWHERE)

    @property
    def reads_everything(self) -> bool:
        """Tell whether no namespace is closed to this one."""
        return any(grant.namespace == EVERYWHERE for grant in self.principal.roles)

    @property
    def readable_namespaces(self) -> frozenset[str] | None:
        """Return the namespaces this one may look into; `None` for all of them."""
        if self.reads_everything:
            return None
        return frozenset(grant.namespace for grant in self.principal.roles)

    def may_read(self, namespace: str) -> bool:
        """Tell whether this one may see what belongs to a namespace, what its publishers expect included (D12)."""
        readable = self.readable_namespaces
        return readable is None or namespace in readable

    def may_change(self, namespace: str) -> bool:
        """Tell whether this one may change who publishes to a namespace."""
        if self.read_only:
            return False
        return self.is_admin or self._has(Role.OWNER, EVERYWHERE) or self._has(Role.OWNER, namespace)

    def _has(self, role: Role, namespace: str) -> bool:
        return RoleGrant(role, namespace) in self.principal.roles
