"""JSON Web Keys and key sets (RFC 7517, RFC 7518 section 6, RFC 8037 section 2, RFC 7638). Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyless.errors import MalformedTokenError
from keyless.jose.algorithms import PublicKeyMaterial, Verify, key_fits, verifier
from keyless.jose.compact import b64url_decode, b64url_encode
from keyless.jose.json import parse_json_object
from keyless.jose.roca import is_roca

MAX_KEYS: Final = 64  # K08
MAX_KEYS_PER_KID: Final = 4  # V08
MAX_KID_CHARS: Final = 256  # V07
MIN_RSA_BITS: Final = 2048  # V08; T13
MAX_RSA_BITS: Final = 8192  # V08; T19: larger ones only burn our time
_CURVES: Final[dict[str, tuple[ec.EllipticCurve, int]]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
    "P-521": (ec.SECP521R1(), 66),
}
_CURVE_NAMES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
# RFC 8032 section 5.1. The eight points of small order have five y-coordinates between them (the sign of x apart). For
# such a key there are signatures that fit any text, so it proves nothing (T13); OpenSSL takes it.
_ED25519_PRIME: Final = 2**255 - 19
_ORDER_EIGHT_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = frozenset({0, 1, _ED25519_PRIME - 1, _ORDER_EIGHT_Y, _ED25519_PRIME - _ORDER_EIGHT_Y})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Hold one verification key: its `kid`, the `alg` it is bound to if any, and the key itself."""

    kid: str | None
    algorithm: str | None
    material: PublicKeyMaterial = field(repr=False)
    _verifiers: dict[str, Verify | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def fits(self, algorithm: str) -> bool:
        """Tell whether this key may verify that algorithm (V04, V08)."""
        return (self.algorithm is None or self.algorithm == algorithm) and key_fits(algorithm, self.material)

    def verifier(self, algorithm: str) -> Verify | None:
        """Return what checks signatures by that algorithm with this key, `None` when it does not fit."""
        try:
            return self._verifiers[algorithm]
        except KeyError:  # callers ask for algorithms of an issuer's record only, so these are few
            found = self._verifiers[algorithm] = verifier(algorithm, self.material) if self.fits(algorithm) else None
            return found


@dataclass(frozen=True, slots=True)
class KeySet:
    """Hold the usable keys of one issuer, by `kid`."""

    keys: tuple[PublicKey, ...]
    _by_kid: Mapping[str, tuple[PublicKey, ...]] = field(repr=False)
    _fitting: dict[tuple[str, str], tuple[PublicKey, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, keys: Iterable[PublicKey]) -> KeySet:
        """Make a key set; keys without `kid` are kept but can never be chosen (V07, T07)."""
        by_kid: dict[str, tuple[PublicKey, ...]] = {}
        kept = tuple(keys)
        for key in kept:
            if key.kid is not None:
                by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)[:MAX_KEYS_PER_KID]
        return cls(kept, by_kid)

    @property
    def kids(self) -> frozenset[str]:
        """Return the key ids in the set."""
        return frozenset(self._by_kid)

    def __contains__(self, kid: str) -> bool:
        """Tell whether the set has a key of that id."""
        return kid in self._by_kid

    def find(self, kid: str, algorithm: str | None = None) -> tuple[PublicKey, ...]:
        """Return the keys of that id, at most four; with `algorithm` only those that fit it."""
        if algorithm is None:
            return self._by_kid.get(kid, ())
        if (fitting := self._fitting.get((kid, algorithm))) is None:
            fitting = tuple(key for key in self._by_kid.get(kid, ()) if key.fits(algorithm))
            if fitting:  # nothing is remembered of names that a token made up
                self._fitting[kid, algorithm] = fitting
        return fitting


def _member(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedTokenError(f"the key has no text member {name!r}")
    return value


def _rsa(jwk: Mapping[str, object]) -> rsa.RSAPublicKey:
    n = int.from_bytes(b64url_decode(_member(jwk, "n")), "big")
    e = int.from_bytes(b64url_decode(_member(jwk, "e")), "big")
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise MalformedTokenError(f"an RSA key has {MIN_RSA_BITS}-{MAX_RSA_BITS} bits, this one {n.bit_length()}")
    if e < 3 or e % 2 == 0 or e.bit_length() > 64:
        raise MalformedTokenError("the RSA exponent is not an odd number of at least 3")
    if is_roca(n):
        raise MalformedTokenError("the RSA key's primes can be found out (CVE-2017-15361)")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _ec(jwk: Mapping[str, object]) -> ec.EllipticCurvePublicKey:
    if (known := _CURVES.get(_member(jwk, "crv"))) is None:
        raise MalformedTokenError("the key's curve is not P-256, P-384 or P-521")
    curve, width = known
    x, y = b64url_decode(_member(jwk, "x")), b64url_decode(_member(jwk, "y"))
    if len(x) != width or len(y) != width:
        raise MalformedTokenError("a coordinate has not the width of its curve")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _okp(jwk: Mapping[str, object]) -> ed25519.Ed25519PublicKey:
    if jwk.get("crv") != "Ed25519":
        raise MalformedTokenError("the key's curve is not Ed25519")
    point = b64url_decode(_member(jwk, "x"))
    if int.from_bytes(point, "little") % (1 << 255) % _ED25519_PRIME in _SMALL_ORDER_Y:
        raise MalformedTokenError("the key is a point of small order: anyone could sign for it")
    return ed25519.Ed25519PublicKey.from_public_bytes(point)


_PARSERS: Final[Mapping[str, Callable[[Mapping[str, object]], PublicKeyMaterial]]] = {
    "RSA": _rsa,
    "EC": _ec,
    "OKP": _okp,
}


def parse_jwk(jwk: object) -> PublicKey:
    """Parse one public verification key.

    Raises:
        MalformedTokenError: It is not a key we can or may verify with (V08): unknown type, weak, for encryption.
    """
    if not isinstance(jwk, dict):
        raise MalformedTokenError("a key is not a JSON object")
    if jwk.get("use", "sig") != "sig":
        raise MalformedTokenError("the key is not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise MalformedTokenError("the key is not for verifying")
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    if kid is not None and (not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID_CHARS):
        raise MalformedTokenError("the key's kid is not a short text")
    if algorithm is not None and not isinstance(algorithm, str):
        raise MalformedTokenError("the key's alg is not a text")
    if (parser := _PARSERS.get(_member(jwk, "kty"))) is None:
        raise MalformedTokenError("the key's type is not RSA, EC or OKP")
    try:
        material = parser(jwk)
    except (ValueError, UnsupportedAlgorithm):  # a point off its curve, for example
        raise MalformedTokenError("the key's numbers are not a key") from None
    return PublicKey(kid, algorithm, material)


def parse_jwks(data: bytes) -> KeySet:
    """Parse a JWK set, skipping keys that we cannot use (RFC 7517 section 5; K08, T32).

    Args:
        data: The document; the caller bounds its size.

    Raises:
        MalformedTokenError: Not an object with a `keys` list, more than 64 keys, or none that is usable.
    """
    members = parse_json_object(data).get("keys")
    if not isinstance(members, list):
        raise MalformedTokenError("a key set has a list named 'keys'")
    if len(members) > MAX_KEYS:
        raise MalformedTokenError(f"a key set has at most {MAX_KEYS} keys, this one {len(members)}")
    usable = []
    for member in members:
        try:
            usable.append(parse_jwk(member))
        except MalformedTokenError:
            continue  # one odd or new kind of key must not take the issuer down (T32)
    if not usable:
        raise MalformedTokenError("the key set holds no usable key")
    return KeySet.of(usable)


def public_jwk(key: PublicKeyMaterial, *, kid: str | None = None, algorithm: str | None = None) -> dict[str, object]:
    """Write a public key as a JWK for signatures."""
    jwk: dict[str, object]
    if isinstance(key, rsa.RSAPublicKey):
        rsa_numbers = key.public_numbers()
        jwk = {"kty": "RSA", "n": _number(rsa_numbers.n), "e": _number(rsa_numbers.e)}
    elif isinstance(key, ec.EllipticCurvePublicKey):
        name = _CURVE_NAMES[key.curve.name]
        width = _CURVES[name][1]
        numbers = key.public_numbers()
        jwk = {"kty": "EC", "crv": name, "x": _number(numbers.x, width), "y": _number(numbers.y, width)}
    else:
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(raw)}
    jwk["use"] = "sig"
    if kid is not None:
        jwk["kid"] = kid
    if algorithm is not None:
        jwk["alg"] = algorithm
    return jwk


def _number(value: int, width: int | None = None) -> str:
    return b64url_encode(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))


def thumbprint(key: PublicKeyMaterial) -> str:
    """Return the key's SHA-256 thumbprint, base64url (RFC 7638 section 3)."""
    required = {name: value for name, value in public_jwk(key).items() if name != "use"}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return b64url_encode(hashlib.sha256(canonical).digest())
