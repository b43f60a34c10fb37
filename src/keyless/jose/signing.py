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

from keyless.jose.algorithms import PrivateKeyMaterial, Sign, key_fits, signer
from keyless.jose.compact import b64url_segment
from keyless.jose.json import compact_encoder
from keyless.jose.jwk import PublicKey, public_jwk, thumbprint

_text = compact_encoder(ensure_ascii=False)


def _head(header: Mapping[str, object]) -> bytes:
    return b64url_segment(_text(dict(header)).encode()) + b"."


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Hold a private key with the names it signs under. `repr` shows the names only.

    `_heads` keeps the encoded header of each `typ`, with its dot, and `_signer` what signs: the same for every token.
    """

    kid: str
    algorithm: str
    material: PrivateKeyMaterial = field(repr=False)
    _heads: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _signer: list[Sign] = field(default_factory=list, repr=False, compare=False)

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
        payload = _text(dict(claims)).encode()
        if header is None:
            return self.sign_payload(payload, typ=typ)
        return self._signed(_head({"alg": self.algorithm, "kid": self.kid, "typ": typ, **header}), payload)

    def sign_payload(self, payload: bytes, *, typ: str) -> str:
        """Sign claims that are written down as JSON already; see `sign`."""
        if (head := self._heads.get(typ)) is None:
            head = self._heads[typ] = _head({"alg": self.algorithm, "kid": self.kid, "typ": typ})
        return self._signed(head, payload)

    def _signed(self, head: bytes, payload: bytes) -> str:
        if not self._signer:
            self._signer.append(signer(self.algorithm, self.material))
        signing_input = head + b64url_segment(payload)
        return (signing_input + b"." + b64url_segment(self._signer[0](signing_input))).decode("ascii")
