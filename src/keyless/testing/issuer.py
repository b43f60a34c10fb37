"""An OIDC issuer on loopback: real keys, real discovery, and every way to be wrong on request."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Final

from keyless.jose.signing import SigningKey
from keyless.testing.claims import merge
from keyless.testing.faults import Fault, fail
from keyless.testing.loopback import LoopbackServer, send_json

LIFETIME_SECONDS: Final = 300  # of GitHub's id tokens, as its documentation's samples show
NOT_BEFORE_SECONDS: Final = 600  # GitHub's `nbf` lies this long before `iat`
CLAIM_FAULTS: Final = frozenset(
    {
        "wrong_issuer",
        "missing_jwks_uri",
        "foreign_jwks_uri",
        "empty_keys",
        "duplicate_kid",
        "odd_keys",
        "symmetric_key",
    }
)
# Keys that a real set may hold beside the good ones: an unknown type, an encryption key, one without `kid`, a weak one.
ODD_KEYS: Final[Sequence[Mapping[str, object]]] = (
    {"kty": "quantum", "kid": "odd-1"},
    {"kty": "RSA", "use": "enc", "kid": "odd-2", "n": "AQAB", "e": "AQAB"},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kid": "odd-3"},
)


class FakeIssuer(LoopbackServer):
    """Publish keys and sign claims as a CI platform's issuer does.

    Usable at once as a context manager. `url` is known before it starts. Counts what was fetched in `fetches`.

    Args:
        algorithm: Of the first key and of every key that `rotate` makes.
        clock: Gives the time in seconds since 1970 that `mint` writes; a `Clock` of this room, or `time.time`.
        path: A path of the issuer URL, with a leading slash; GitHub Enterprise and others have one.
    """

    def __init__(self, *, algorithm: str = "RS256", clock: Callable[[], float] = time.time, path: str = "") -> None:
        super().__init__()
        self.url: Final = f"{self.origin}{path}"
        self.clock = clock
        self.fetches: Final[dict[str, int]] = {"discovery": 0, "jwks": 0}
        self._path: Final = path
        self._algorithm: Final = algorithm
        self._lock: Final = Lock()
        self._signing_key = SigningKey.generate(algorithm)
        self._published = [self._signing_key]
        self._fault: Fault | str | None = None
        self._fault_on: frozenset[str] = frozenset()

    # --- signing -----------------------------------------------------------------------------------------------------

    @property
    def key(self) -> SigningKey:
        """Return the key that signs now."""
        return self._signing_key

    @property
    def kids(self) -> tuple[str, ...]:
        """Return the names of the published keys, newest last."""
        return tuple(key.kid for key in self._published)

    def mint(
        self,
        claims: Mapping[str, object],
        *,
        lifetime_seconds: int = LIFETIME_SECONDS,
        key: SigningKey | None = None,
        header: Mapping[str, object] | None = None,
        **overrides: object,
    ) -> str:
        """Sign claims; `iss`, `iat`, `nbf`, `exp` and a fresh `jti` are added where they are not given.

        Args:
            claims: The payload, for example `github_claims()`. Give `aud` here or among the overrides.
            lifetime_seconds: `exp` minus `iat`.
            key: Another key than the issuer's own: a forger's.
            header: Header members that replace or extend GitHub's.
            overrides: Claims that win over `claims`; `DROP` leaves one out.
        """
        now = int(self.clock())
        standard: dict[str, object] = {
            "jti": str(uuid.uuid4()),
            "iss": self.url,
            "iat": now,
            "nbf": now - NOT_BEFORE_SECONDS,
            "exp": now + lifetime_seconds,
        }
        signer = key or self._signing_key
        # GitHub's header carries the certificate's hash; a verifier must not stumble over it (seen 2026-11).
        return signer.sign(merge({**standard, **claims}, overrides), header={"x5t": signer.kid[:27], **(header or {})})

    def rotate(self, *, keep: bool = True) -> SigningKey:
        """Sign with a new key from now on.

        Args:
            keep: Go on publishing the old keys, as a careful issuer does.
        """
        fresh = SigningKey.generate(self._algorithm)
        with self._lock:
            self._signing_key = fresh
            self._published = [*self._published, fresh] if keep else [fresh]
        return fresh

    def withdraw(self, kid: str) -> None:
        """Stop publishing a key, as after a leak.

        Raises:
            KeyError: No such key is published.
        """
        with self._lock:
            if kid not in self.kids:
                raise KeyError(kid)
            self._published = [key for key in self._published if key.kid != kid]

    # --- failing -----------------------------------------------------------------------------------------------------

    def misbehave(self, mode: Fault | str, *, on: Sequence[str] = ("discovery", "jwks")) -> None:
        """Fail from now on.

        Args:
            mode: A `Fault`, or one of `wrong_issuer`, `missing_jwks_uri`, `foreign_jwks_uri` (discovery),
                `empty_keys`, `duplicate_kid`, `odd_keys`, `symmetric_key` (key set).
            on: Which documents a `Fault` breaks: `discovery`, `jwks`, or both.

        Raises:
            ValueError: No such mode.
        """
        self._fault = mode if mode in CLAIM_FAULTS else Fault(mode)
        self._fault_on = frozenset(on)

    def behave(self) -> None:
        """Be a good issuer again."""
        self._fault = None

    # --- serving -----------------------------------------------------------------------------------------------------

    @property
    def jwks_uri(self) -> str:
        """Return where the key set is."""
        return f"{self.url}/.well-known/jwks"

    def discovery_document(self) -> dict[str, object]:
        """Return the discovery document as it is served now (OpenID Connect Discovery 1.0 section 3)."""
        document: dict[str, object] = {
            "issuer": self.url,
            "jwks_uri": self.jwks_uri,
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf"],
            "id_token_signing_alg_values_supported": [self._algorithm],
            "scopes_supported": ["openid"],
        }
        if self._fault == "wrong_issuer":
            document["issuer"] = f"{self.url}/other"
        elif self._fault == "missing_jwks_uri":
            del document["jwks_uri"]
        elif self._fault == "foreign_jwks_uri":
            document["jwks_uri"] = "https://keys.example.com/jwks"
        return document

    def key_set(self) -> dict[str, object]:
        """Return the key set as it is served now (RFC 7517 section 5)."""
        with self._lock:
            keys = [{**key.public_jwk(), "use": "sig"} for key in self._published]
        if self._fault == "empty_keys":
            keys = []
        elif self._fault == "duplicate_kid":
            stranger = SigningKey.generate(self._algorithm, kid=self._signing_key.kid)
            keys = [*keys, {**stranger.public_jwk(), "use": "sig"}]
        elif self._fault == "odd_keys":
            keys = [*(dict(key) for key in ODD_KEYS), *keys]
        elif self._fault == "symmetric_key":
            keys = [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE", "kid": self._signing_key.kid}]
        return {"keys": keys}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve the two documents."""
        documents = {
            f"{self._path}/.well-known/openid-configuration": ("discovery", self.discovery_document),
            f"{self._path}/.well-known/jwks": ("jwks", self.key_set),
        }
        found = documents.get(handler.path.partition("?")[0])
        if found is None:
            send_json(handler, 404, {"message": "no such path"})
            return
        name, document = found
        with self._lock:
            self.fetches[name] += 1
        if isinstance(self._fault, Fault) and name in self._fault_on:
            fail(handler, self._fault, self.closing)
        else:
            send_json(handler, 200, document(), Cache_Control="public, max-age=300")
