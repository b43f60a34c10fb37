"""Tokens whose proof need not be computed again, until they expire or are withdrawn.

Bounded, and safe to share between threads. Expiry and revocation empty it: what is over is not kept.
"""

from __future__ import annotations

import threading
from typing import Final, TypeAlias

from keyless.errors import RevokedTokenError
from keyless.jose.jwk import KeySet
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.withdrawals import Withdrawals

MAX_REMEMBERED: Final = 1024  # about 2 kB each
SWEEP_SECONDS: Final = 60.0

# The token as it stands, until when, the key set that proved it, and the token as it was proven. A plain tuple, for a
# resource server looks at one for each request.
Proven: TypeAlias = tuple[VerifiedAccessToken, float, KeySet, VerifiedAccessToken]


class ProvenTokens:
    """Remember by the token itself: any other text, however alike, is another token."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._next_sweep = 0.0
        self.by_token: dict[str, Proven] = {}
        """Read it freely; whoever finds an entry looks at its end and its key set."""
        self.withdrawals: Withdrawals | None = None
        """What the entries were last held against."""

    def catch_up(self, withdrawals: Withdrawals, now: float) -> None:
        """Hold every entry against what is withdrawn now; those that no longer stand go.

        What another thread has held them against already, if that is newer, stays.
        """
        with self._lock:
            if self.withdrawals is not None and withdrawals.version <= self.withdrawals.version:
                return
            kept = {}
            for token, (_, _, keys, proven) in self.by_token.items():
                try:
                    verified, ends_at = withdrawals.check(proven, now)
                except RevokedTokenError:
                    continue
                kept[token] = verified, ends_at, keys, proven
            self.by_token, self.withdrawals = kept, withdrawals

    def add(self, token: str, proven: VerifiedAccessToken, keys: KeySet, now: float) -> VerifiedAccessToken:
        """Remember a token that was proven now and return it as it stands.

        Raises:
            RevokedTokenError: It was withdrawn.
        """
        verified, ends_at = proven, float(proven.expires_at)
        if (withdrawals := self.withdrawals) is not None:
            verified, ends_at = withdrawals.check(proven, now)
        with self._lock:
            if now >= self._next_sweep:
                self._next_sweep = now + SWEEP_SECONDS
                self.by_token = {text: entry for text, entry in self.by_token.items() if now < entry[1]}
            if len(self.by_token) >= MAX_REMEMBERED:
                del self.by_token[next(iter(self.by_token))]  # the one that was proven first
            if self.withdrawals is withdrawals:  # else something was withdrawn meanwhile, perhaps this
                self.by_token[token] = verified, ends_at, keys, proven
        return verified

    def forget(self, token: str) -> None:
        """Remove a token."""
        with self._lock:
            self.by_token.pop(token, None)
