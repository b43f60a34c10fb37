"""The record of an issuer we trust to speak about CI jobs. Pure: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network


class ReplayMode(StrEnum):
    """Say how often one id token may be exchanged (D8).

    `once` for issuers whose jobs can mint again, `counted` for tokens a job gets only once.
    """

    ONCE = "once"
    COUNTED = "counted"


MAX_COUNTED_USES = 64  # D8: a job on a fixed-token platform makes a handful; a thief should not make thousands


class NetworkKind(StrEnum):
    """Say which addresses an issuer's documents may be fetched from (D20).

    Through a `proxy` nobody here can see the address, so the operator names the hosts instead. That is weaker: it is
    the proxy that decides where a name leads.
    """

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Network:
    """Where an issuer may live, as the operator allowed it.

    `cidrs` is used with `private` only: the networks that are allowed besides public addresses. `proxy` (its URL, http
    and without credentials) and `hosts` (the only ones asked for there, in lower case) are used with `proxy` only.
    """

    kind: NetworkKind = NetworkKind.PUBLIC
    cidrs: tuple[IPv4Network | IPv6Network, ...] = ()
    proxy: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """Keys that an operator gave for an issuer that cannot be asked (K13): a JWK set as JSON, and when it ends.

    `expires_at` is in Unix seconds. Nothing is fetched while keys are pinned, and after it nothing is believed.
    """

    jwks: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer: what its tokens must look like and how its keys are fetched.

    `url` is compared with `iss` byte for byte (V06). `kind` names the claim profile in `keyless.issuers`.
    `max_lifetime_seconds` bounds `exp - iat`, `max_age_seconds` bounds `now - iat` (V12). `jwks_uri` overrides
    discovery when an operator pinned it (K09). `allow_multiple_audiences` opts in to `aud` lists (V13).
    `pinned_keys` replaces the issuer's published keys (K13). Keys named in `distrusted_kids` are never used, and
    `key_refreshes` grows when an operator asks for the keys to be fetched anew (K15): being part of the record, both
    count at the next exchange of every process.
    """

    id: int
    url: str
    kind: str
    algorithms: tuple[str, ...] = ("RS256",)
    max_lifetime_seconds: int = 7200
    max_age_seconds: int = 7200
    replay: ReplayMode = ReplayMode.ONCE
    network: Network = Network()
    jwks_uri: str | None = None
    allow_multiple_audiences: bool = False
    enabled: bool = True
    immutable_claims: tuple[str, ...] = ()
    pinned_keys: PinnedKeys | None = None
    distrusted_kids: frozenset[str] = frozenset()
    key_refreshes: int = 0
