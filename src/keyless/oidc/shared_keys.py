"""Fetching an issuer's keys once for several processes, when a stranger's invented `kid` is what asks for it (K03).

Whose turn it is, and what came of it, is kept where all of them look; see `keyless.server.store.key_turns`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keyless.oidc.issuer import Issuer


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """Hold a key set as an issuer published it. `age_seconds` is how long ago its fetch began."""

    jwks: bytes
    jwks_uri: str
    max_age_seconds: int | None
    age_seconds: float = 0.0


class KeyTurns(Protocol):
    """Where processes agree on who fetches."""

    def take_turn(self, issuer: Issuer, *, every_seconds: float, wait_seconds: float) -> FetchedKeys | None:
        """Return what another process fetched so short ago, waiting for it while it does; `None`: fetch yourself.

        Raises:
            UnavailableError: Nobody can tell; each process is on its own then.
        """

    def end_turn(self, issuer: Issuer, found: FetchedKeys | None) -> None:
        """Hand over what was fetched; with `None` let another one try.

        Raises:
            UnavailableError: It could not be handed over.
        """
