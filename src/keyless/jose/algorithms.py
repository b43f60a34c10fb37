"""Signature algorithms of RFC 7518 section 3.1, RFC 8037 and RFC 9864, asymmetric only. Pure.

There is no `none` and no HMAC here, so no setting can turn them on (V04, T01, T02).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NoReturn, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from keyless.errors import InvalidSignatureError

PublicKeyMaterial: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKeyMaterial: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_PKCS1: Final = padding.PKCS1v15()
_RSA: Final[dict[str, tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]]] = {
    "RS256": (_PKCS1, hashes.SHA256()),
    "RS384": (_PKCS1, hashes.SHA384()),
    "RS512": (_PKCS1, hashes.SHA512()),
    # RFC 7518 section 3.5: the salt is as long as the hash.
    "PS256": (padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    "PS384": (padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384()),
    "PS512": (padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512()),
}
# Curve, signature scheme, and the width of r and s in bytes (RFC 7518 section 3.4).
_ECDSA: Final[dict[str, tuple[str, ec.ECDSA, int]]] = {
    "ES256": ("secp256r1", ec.ECDSA(hashes.SHA256()), 32),
    "ES384": ("secp384r1", ec.ECDSA(hashes.SHA384()), 48),
    "ES512": ("secp521r1", ec.ECDSA(hashes.SHA512()), 66),
}
_ES256_PREHASHED: Final = ec.ECDSA(Prehashed(hashes.SHA256()))
_EDDSA: Final = frozenset({"EdDSA", "Ed25519"})  # RFC 9864 renames the first to the second

ALGORITHMS: Final = frozenset(_RSA) | frozenset(_ECDSA) | _EDDSA
# Order of the P-256 group (FIPS 186-4 D.1.2.3): (r, s) and (r, n - s) both verify, so "low s" picks one (D6).
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF_ORDER: Final = (P256_ORDER // 2).to_bytes(32, "big")


def key_fits(algorithm: str, key: PublicKeyMaterial | PrivateKeyMaterial) -> bool:
    """Tell whether a key's type and curve are those of the algorithm (V08, T03, T13)."""
    if algorithm in _RSA:
        return isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey)
    if algorithm in _ECDSA:
        return (
            isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey)
            and key.curve.name == _ECDSA[algorithm][0]
        )
    return algorithm in _EDDSA and isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey)


Verify = Callable[[bytes, bytes], None]
"""Checks a signature (second) over these bytes (first); raises `InvalidSignatureError`."""
Sign = Callable[[bytes], bytes]
"""Signs these bytes."""


def verify_signature(algorithm: str, key: PublicKeyMaterial, signing_input: bytes, signature: bytes) -> None:
    """Check a JWS signature over exactly these bytes.

    Raises:
        InvalidSignatureError: It does not verify, or the key does not fit the algorithm (V09).
    """
    verifier(algorithm, key)(signing_input, signature)


def verifier(algorithm: str, key: PublicKeyMaterial) -> Verify:
    """Return what checks the signatures of one key by one algorithm: a key is looked at once, not at every token."""
    if (scheme := _RSA.get(algorithm)) and isinstance(key, rsa.RSAPublicKey):
        return _rsa_verifier(key, *scheme)
    if (curve := _ECDSA.get(algorithm)) and isinstance(key, ec.EllipticCurvePublicKey):
        return _ecdsa_verifier(key, *curve)
    if algorithm in _EDDSA and isinstance(key, ed25519.Ed25519PublicKey):
        return _eddsa_verifier(key)
    return _verify_nothing


def _rsa_verifier(key: rsa.RSAPublicKey, scheme: padding.AsymmetricPadding, hashed: hashes.HashAlgorithm) -> Verify:
    check = key.verify

    def verify(signing_input: bytes, signature: bytes) -> None:
        try:
            check(signature, signing_input, scheme, hashed)
        except (InvalidSignature, ValueError):
            _verify_nothing(signing_input, signature)

    return verify


def _ecdsa_verifier(key: ec.EllipticCurvePublicKey, name: str, ecdsa: ec.ECDSA, width: int) -> Verify:
    if key.curve.name != name:
        return _verify_nothing

    def verify(signing_input: bytes, signature: bytes) -> None:
        if len(signature) == 2 * width:
            r = int.from_bytes(signature[:width], "big")
            s = int.from_bytes(signature[width:], "big")
            try:
                key.verify(encode_dss_signature(r, s), signing_input, ecdsa)
                return
            except (InvalidSignature, ValueError):
                pass
        _verify_nothing(signing_input, signature)

    return verify


def _eddsa_verifier(key: ed25519.Ed25519PublicKey) -> Verify:
    def verify(signing_input: bytes, signature: bytes) -> None:
        try:
            key.verify(signature, signing_input)
        except (InvalidSignature, ValueError):
            _verify_nothing(signing_input, signature)

    return verify


def _verify_nothing(_signing_input: bytes, _signature: bytes) -> NoReturn:
    raise InvalidSignatureError("the signature does not verify") from None


def sign(algorithm: str, key: PrivateKeyMaterial, signing_input: bytes) -> bytes:
    """Sign these bytes; ES256 signatures have the low `s`, so that each has one spelling.

    Raises:
        ValueError: The key does not fit the algorithm (a programming mistake).
    """
    return signer(algorithm, key)(signing_input)


def signer(algorithm: str, key: PrivateKeyMaterial) -> Sign:
    """Return what signs with one key by one algorithm; see `sign`.

    Raises:
        ValueError: The key does not fit the algorithm (a programming mistake).
    """
    if (scheme := _RSA.get(algorithm)) and isinstance(key, rsa.RSAPrivateKey):
        rsa_key, (rsa_scheme, hashed) = key, scheme
        return lambda signing_input: rsa_key.sign(signing_input, rsa_scheme, hashed)
    if (curve := _ECDSA.get(algorithm)) and isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == curve[0]:
        ec_key, (_, ecdsa, width) = key, curve
        write = p256_signature if algorithm == "ES256" else functools.partial(_ecdsa_signature, width)
        return lambda signing_input: write(ec_key.sign(signing_input, ecdsa))
    if algorithm in _EDDSA and isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    raise ValueError(f"this key cannot sign {algorithm}")


def _ecdsa_signature(width: int, der: bytes) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def p256_signature(der: bytes) -> bytes:
    """Return `r` and the low `s` of a P-256 signature in DER, 32 bytes each.

    Args:
        der: As OpenSSL writes it (X9.62): `30 len 02 len r 02 len s`. No length of it needs a second byte.
    """
    end_of_r = 4 + der[3]
    s = der[end_of_r + 2 :].lstrip(b"\0").rjust(32, b"\0")
    if s > _HALF_ORDER:
        s = (P256_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    return der[4:end_of_r].lstrip(b"\0").rjust(32, b"\0") + s


def verify_es256_low_s(key: PublicKeyMaterial, signing_input: bytes, signature: bytes) -> None:
    """Check an ES256 signature that has the one spelling `sign` writes; what `verify_signature` does, and quicker.

    Raises:
        InvalidSignatureError: It does not verify, has its other spelling, or the key is not a P-256 key.
    """
    if len(signature) == 64 and isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        s = int.from_bytes(signature[32:], "big")
        if s > P256_ORDER // 2:
            raise InvalidSignatureError("the signature is not in its one accepted form")
        try:
            der = encode_dss_signature(int.from_bytes(signature[:32], "big"), s)
            key.verify(der, sha256(signing_input).digest(), _ES256_PREHASHED)
            return
        except (InvalidSignature, ValueError):
            pass
    raise InvalidSignatureError("the signature does not verify")


def has_low_s(signature: bytes) -> bool:
    """Tell whether an ES256 signature is the one of its two spellings that `sign` writes (D6)."""
    return len(signature) == 64 and int.from_bytes(signature[32:], "big") <= P256_ORDER // 2
