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
    """Say which addresses an issuer's documents may be fetched from (D20)."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Network:
    """Where an issuer may live, as the operator allowed it.

    `cidrs` is used with `private` only: the networks that are allowed besides public addresses.
    """

    kind: NetworkKind = NetworkKind.PUBLIC
    cidrs: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer: what its tokens must look like and how its keys are fetched.

    `url` is compared with `iss` byte for byte (V06). `kind` names the claim profile in `keyless.issuers`.
    `max_lifetime_seconds` bounds `exp - iat`, `max_age_seconds` bounds `now - iat` (V12). `jwks_uri` overrides
    discovery when an operator pinned it (K09). `allow_multiple_audiences` opts in to `aud` lists (V13).
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
