"""Signing JWTs: our access tokens, and the id tokens of the test issuer (RFC 7515 section 5.1, RFC 7519). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from keyless.jose.algorithms import PrivateKeyMaterial, key_fits, sign
from keyless.jose.compact import b64url_encode
from keyless.jose.json import compact_encoder
from keyless.jose.jwk import PublicKey, public_jwk, thumbprint

_text = compact_encoder(ensure_ascii=False)


def _encode(value: Mapping[str, object]) -> str:
    return b64url_encode(_text(dict(value)).encode())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Hold a private key with the names it signs under. `repr` shows the names only.

    `header_prefix` caches the encoded header of each `typ`: the same for every token of one key.
    """

    kid: str
    algorithm: str
    material: PrivateKeyMaterial = field(repr=False)
    _headers: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, kid: str | None = None) -> SigningKey:
        """Make a new key; its `kid` is the thumbprint unless given.

        Raises:
            ValueError: The algorithm is unknown.
        """
        material: PrivateKeyMaterial
        if algorithm.startswith(("RS", "PS")):
            material = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        elif algorithm in {"EdDSA", "Ed25519"}:
            material = ed25519.Ed25519PrivateKey.generate()
        else:
            curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
            if algorithm not in curves:
                raise ValueError(f"unknown algorithm {algorithm!r}")
            material = ec.generate_private_key(curves[algorithm])
        return cls(kid or thumbprint(material.public_key()), algorithm, material)

    @classmethod
    def from_pkcs8(cls, kid: str, algorithm: str, der: bytes) -> SigningKey:
        """Load a key from unencrypted PKCS #8 DER.

        Raises:
            ValueError: Not such a key, or one that cannot sign `algorithm`.
        """
        material = load_der_private_key(der, password=None)
        if not isinstance(
            material, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
        ) or not key_fits(algorithm, material):
            raise ValueError(f"the key {kid!r} cannot sign {algorithm}")
        return cls(kid, algorithm, material)

    def to_pkcs8(self) -> bytes:
        """Return the private key as unencrypted PKCS #8 DER; the caller encrypts it."""
        return self.material.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def public_key(self) -> PublicKey:
        """Return the verification key."""
        return PublicKey(self.kid, self.algorithm, self.material.public_key())

    def public_jwk(self) -> dict[str, object]:
        """Return the verification key as a JWK."""
        return public_jwk(self.material.public_key(), kid=self.kid, algorithm=self.algorithm)

    def sign(
        self, claims: Mapping[str, object], *, typ: str = "JWT", header: Mapping[str, object] | None = None
    ) -> str:
        """Sign claims as a compact JWT.

        Args:
            claims: The payload.
            typ: Header `typ`.
            header: Header members that override or extend `alg`, `kid` and `typ`; tests use it to break rules.
        """
        if header is None:
            if (header_segment := self._headers.get(typ)) is None:
                header_segment = _encode({"alg": self.algorithm, "kid": self.kid, "typ": typ})
                self._headers[typ] = header_segment
        else:
            header_segment = _encode({"alg": self.algorithm, "kid": self.kid, "typ": typ, **header})
        signing_input = f"{header_segment}.{_encode(claims)}"
        return f"{signing_input}.{b64url_encode(sign(self.algorithm, self.material, signing_input.encode()))}"
