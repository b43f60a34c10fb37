"""Keys that an operator gave by hand, for an issuer that cannot be asked (K13). Pure: the time is an argument."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from keyless.errors import ConfigurationError, MalformedTokenError, UnavailableError, UnknownKeyError
from keyless.jose.jwk import KeySet, PublicKey, parse_jwks
from keyless.oidc.issuer import Issuer, PinnedKeys

MAX_PINNED_CHARS: Final = 100 * 1024  # as much as an issuer may answer (K08)
_RETRY_SECONDS: Final = 300.0  # somebody has to act first


def check_pinned_keys(pinned: PinnedKeys, *, now: float) -> KeySet:
    """Return the keys of a set that is about to be pinned.

    Raises:
        ConfigurationError: It is no key set, none of its keys can be chosen, or its time is over already.
    """
    if len(pinned.jwks) > MAX_PINNED_CHARS:
        raise ConfigurationError(f"a pinned key set has at most {MAX_PINNED_CHARS} characters")
    if pinned.expires_at <= now:
        raise ConfigurationError("the pinned keys would be over already", hint="Give a date in the future.")
    try:
        keys = _parse(pinned.jwks)
    except MalformedTokenError as error:
        raise ConfigurationError(f"the key set cannot be pinned: {error}") from None
    if not keys.kids:
        raise ConfigurationError("no key of the set has a kid, so no token could name one")
    return keys


def find_pinned(issuer: Issuer, kid: str, *, now: float) -> tuple[PublicKey, ...]:
    """Return the pinned keys of that id. The set is checked anew whenever it was read (K12).

    Args:
        issuer: A record with `pinned_keys`.
        kid: The key id that a token names.
        now: Unix seconds.

    Raises:
        UnknownKeyError: No pinned key has that id.
        UnavailableError: The time of the set is over, or it cannot be read: its operator has to act, and until then
            nobody can tell a good token from a bad one.
    """
    pinned = issuer.pinned_keys
    if pinned is None:
        raise ValueError(f"{issuer.url} has no pinned keys")
    if now >= pinned.expires_at:
        raise UnavailableError(f"the pinned keys of {issuer.url} are over", retry_after=_RETRY_SECONDS)
    try:
        keys = _parse(pinned.jwks)
    except MalformedTokenError:
        raise UnavailableError(f"the pinned keys of {issuer.url} are no key set", retry_after=_RETRY_SECONDS) from None
    if found := keys.find(kid):
        return found
    raise UnknownKeyError("the token's key is not among those pinned for its issuer")


@lru_cache(maxsize=64)
def _parse(jwks: str) -> KeySet:
    return parse_jwks(jwks.encode())
