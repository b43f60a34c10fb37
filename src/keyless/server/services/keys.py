"""Our own signing keys: encrypted at rest, decrypted once, published (D21).

A key is `pending` (published, does not sign yet), `active` (the newest one signs) or `retired` (published until the
last token it signed is over). A row that does not decrypt under our key-encryption key was not written by us: it is
never published, and said so in the log.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyless.errors import ConfigurationError, UnavailableError
from keyless.jose.jwk import KeySet
from keyless.jose.signing import SigningKey
from keyless.server.services.key_encryption import KeyEncryptionKey, load_key_encryption_key
from keyless.server.settings import Settings
from keyless.server.store import SigningKeyRow

logger = logging.getLogger("keyless.server")

ACCESS_TOKEN_PURPOSE: Final = "access-token"
ALGORITHM: Final = "ES256"
# A retired key verifies until the longest-lived token it can have signed is over, plus the verifiers' leeway.
RETIRED_PUBLISHED_SECONDS: Final = 3600 + 300
_NONCE_BYTES: Final = 12  # NIST SP 800-38D section 8.2.2: random 96-bit nonces


class KeyStore(Protocol):
    """What is asked of the store."""

    @property
    def clock(self) -> Callable[[], float]:
        """Return the clock: Unix seconds."""

    def signing_keys(self, purpose: str) -> tuple[SigningKeyRow, ...]:
        """Return the rows of one purpose, oldest first."""

    def add_signing_key(self, row: SigningKeyRow, *, actor: str) -> bool:
        """Store a key; false when another process was faster."""

    def activate_signing_key(self, kid: str, *, actor: str) -> bool:
        """Let a pending key sign and retire the one that did."""

    def retire_signing_key(self, kid: str, *, actor: str) -> bool:
        """Withdraw a pending key."""

    def distrust_signing_key(self, kid: str, *, actor: str) -> bool:
        """Never publish a key again."""

    def trust_version(self) -> int:
        """Return a number that grows when keys change."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    trust_version: int
    active: SigningKey | None
    published: tuple[tuple[SigningKeyRow, SigningKey], ...]


class SigningKeys:
    """Hold the decrypted keys of this process, as new as the last commit of any process. Thread-safe.

    Args:
        store: Where the encrypted rows are.
        key_encryption_key: Decrypts them.
        issuer: Our `iss`; keys of another issuer's rows do not decrypt here.
    """

    def __init__(self, store: KeyStore, key_encryption_key: KeyEncryptionKey, *, issuer: str) -> None:
        self._store = store
        self._cipher = AESGCM(key_encryption_key.reveal())
        self._issuer = issuer
        self._lock = threading.Lock()
        self._decrypted: dict[str, SigningKey | None] = {}
        self._snapshot = _Snapshot(-1, None, ())

    @classmethod
    def open(cls, store: KeyStore, settings: Settings) -> SigningKeys:
        """Load the keys of a service, making the first one on its first start.

        Raises:
            ConfigurationError: The key-encryption key is missing, open to others, or does not fit the stored keys.
        """
        keys = cls(store, load_key_encryption_key(settings), issuer=settings.public_url)
        keys.ensure()
        return keys

    def ensure(self, *, actor: str = "serve") -> None:
        """Make an active key when there is none at all.

        Raises:
            ConfigurationError: There are keys, but this key-encryption key opens none of the active ones.
        """
        rows = self._store.signing_keys(ACCESS_TOKEN_PURPOSE)
        if not any(row.state == "active" for row in rows):
            key = SigningKey.generate(ALGORITHM)
            self._store.add_signing_key(self._seal(key, state="active"), actor=actor)
        if self._current().active is None:
            raise ConfigurationError(
                "no stored signing key can be opened with this key-encryption key and public_url",
                hint="Give the key-encryption key the keys were made with (key_encryption_key_file, or secret.key"
                " beside the database), and the same public_url.",
            )

    def now(self) -> float:
        """Return the store's time, Unix seconds."""
        return self._store.clock()

    def rows(self) -> tuple[SigningKeyRow, ...]:
        """Return all keys as they are stored, oldest first."""
        return self._store.signing_keys(ACCESS_TOKEN_PURPOSE)

    def publish_next(self, *, actor: str) -> str | None:
        """Make and publish the key that will sign next; return its id, or `None` when there is one already."""
        key = SigningKey.generate(ALGORITHM)
        return key.kid if self._store.add_signing_key(self._seal(key, state="pending"), actor=actor) else None

    def activate(self, kid: str, *, actor: str) -> bool:
        """Let a published key sign from now on; the one before it stays published for its tokens."""
        return self._store.activate_signing_key(kid, actor=actor)

    def retire(self, kid: str, *, actor: str) -> bool:
        """Withdraw a published key that has not signed yet."""
        return self._store.retire_signing_key(kid, actor=actor)

    def distrust(self, kid: str, *, actor: str) -> bool:
        """Withdraw a key, and with it whatever it signed; not the one that signs."""
        return self._store.distrust_signing_key(kid, actor=actor)

    def active(self) -> SigningKey:
        """Return the key that signs now.

        Raises:
            UnavailableError: None can be opened.
        """
        if (key := self._current().active) is None:
            raise UnavailableError("no signing key can be opened", retry_after=30)
        return key

    def key_set(self) -> KeySet:
        """Return the published keys, for our own verification."""
        return KeySet.of(key.public_key() for key in self.published())

    def jwks(self) -> bytes:
        """Return the published keys as JWKS JSON (RFC 7517 section 5), the active one first."""
        return json.dumps({"keys": [key.public_jwk() for key in self.published()]}, separators=(",", ":")).encode()

    def published(self) -> list[SigningKey]:
        """Return the keys that verify our tokens, the active one first."""
        now = self._store.clock()
        snapshot = self._current()
        found = [
            key
            for row, key in snapshot.published
            if row.retired_at is None or now < row.retired_at + RETIRED_PUBLISHED_SECONDS
        ]
        return sorted(found, key=lambda key: key is not snapshot.active)

    def _current(self) -> _Snapshot:
        version = self._store.trust_version()
        if version != self._snapshot.trust_version:
            with self._lock:
                self._snapshot = self._load(version)
        return self._snapshot

    def _load(self, version: int) -> _Snapshot:
        published = []
        active = None
        for row in self._store.signing_keys(ACCESS_TOKEN_PURPOSE):
            if row.kid not in self._decrypted:
                self._decrypted[row.kid] = self._open(row)
            if (key := self._decrypted[row.kid]) is None:
                continue
            published.append((row, key))
            if row.state == "active":
                active = key  # rows come oldest first
        return _Snapshot(version, active, tuple(published))

    def _seal(self, key: SigningKey, *, state: str) -> SigningKeyRow:
        nonce = os.urandom(_NONCE_BYTES)
        now = int(self._store.clock())
        return SigningKeyRow(
            kid=key.kid,
            purpose=ACCESS_TOKEN_PURPOSE,
            algorithm=key.algorithm,
            state=state,
            public_jwk=json.dumps(key.public_jwk(), separators=(",", ":"), sort_keys=True),
            nonce=nonce,
            encrypted_private=self._cipher.encrypt(nonce, key.to_pkcs8(), self._bound_to(key.kid)),
            created_at=now,
            activated_at=now if state == "active" else None,
        )

    def _open(self, row: SigningKeyRow) -> SigningKey | None:
        try:
            der = self._cipher.decrypt(row.nonce, row.encrypted_private, self._bound_to(row.kid))
            key = SigningKey.from_pkcs8(row.kid, row.algorithm, der)
        except (InvalidTag, ValueError):
            logger.error("signing key %s cannot be opened and is not used", row.kid)  # noqa: TRY400 - says it all
            return None
        if not _same_public_part(row.public_jwk, key.public_jwk()):
            logger.error("signing key %s does not fit its public part and is not used", row.kid)
            return None
        return key

    def _bound_to(self, kid: str) -> bytes:
        """Return what a row is bound to, so that no row can stand in for another (D21)."""
        return json.dumps(["keyless-signing-key-1", kid, ACCESS_TOKEN_PURPOSE, self._issuer]).encode("ascii")


def _same_public_part(stored: str, jwk: Mapping[str, object]) -> bool:
    try:
        return bool(json.loads(stored) == jwk)
    except ValueError:
        return False
