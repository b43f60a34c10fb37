"""Changing the key that signs, so that no verifier meets one it could not have known (D21).

A new key is published a day before it signs: by then every verifier has fetched it. The key before it stays published
until the last token it signed is over. Each replica looks once a minute; the store lets one of them act.
"""

from __future__ import annotations

import logging
from typing import Final

from keyless.errors import Error
from keyless.server.services.keys import SigningKeys

PUBLISHED_AHEAD_SECONDS: Final = 24 * 3600  # far longer than any verifier keeps a key set
DAY_SECONDS: Final = 24 * 3600

_log = logging.getLogger("keyless.server")


class KeyRotation:
    """Rotate the signing key by its age.

    Args:
        keys: The keys of this process.
        every_days: How long a key signs; 0: until somebody says otherwise.
    """

    def __init__(self, keys: SigningKeys, *, every_days: int) -> None:
        self._keys = keys
        self._seconds = every_days * DAY_SECONDS

    def tend(self) -> None:
        """Do what is due: publish the next key, or let it sign."""
        now = int(self._keys.now())
        rows = self._keys.rows()
        if (pending := next((row for row in rows if row.state == "pending"), None)) is not None:
            if now >= pending.created_at + PUBLISHED_AHEAD_SECONDS and self._keys.activate(
                pending.kid, actor="rotation"
            ):
                _log.info("signing key %s signs from now on", pending.kid)
            return
        active = [row for row in rows if row.state == "active"]
        if not active or not self._seconds:
            return
        since = max(row.activated_at or row.created_at for row in active)
        if now >= since + self._seconds - PUBLISHED_AHEAD_SECONDS and (
            kid := self._keys.publish_next(actor="rotation")
        ):
            _log.info("signing key %s is published and will sign in %d h", kid, PUBLISHED_AHEAD_SECONDS // 3600)


class NoSuchKeyError(Error):
    """There is no key of that id for which this can be done."""

    code = "key_unknown_here"


def rotate_now(keys: SigningKeys, *, actor: str) -> str:
    """Let a new key sign at once, as after a leak; return its id. Verifiers fetch it when they first meet it."""
    pending = next((row.kid for row in keys.rows() if row.state == "pending"), None)
    kid = pending or keys.publish_next(actor=actor)
    if kid is None or not keys.activate(kid, actor=actor):
        raise NoSuchKeyError("another process rotates the key right now", hint="Look at it: keyless keys list.")
    return kid


def distrust(keys: SigningKeys, kid: str, *, actor: str) -> str | None:
    """Withdraw a key and with it every token it signed; return the id of the new one when the key was signing.

    Raises:
        NoSuchKeyError: There is no such key.
    """
    row = next((row for row in keys.rows() if row.kid == kid), None)
    if row is None:
        raise NoSuchKeyError(f"there is no signing key {kid}", hint="The keys there are: keyless keys list.")
    successor = rotate_now(keys, actor=actor) if row.state == "active" else None
    if not keys.distrust(kid, actor=actor):
        raise NoSuchKeyError(f"signing key {kid} cannot be distrusted now", hint="Look at it: keyless keys list.")
    return successor
