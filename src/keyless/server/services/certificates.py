"""Our keys as certificates, for registries that take keys in no other form. They certify nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keyless.jose.signing import SigningKey

VALID_DAYS: Final = 3650  # the registry looks at the key alone; a key ends when it leaves the bundle
MAX_NAME_CHARS: Final = 64  # RFC 5280, upper bound of a common name


def certificate_of(key: SigningKey, *, name: str) -> str:
    """Return a self-signed certificate of a key in PEM."""
    assert isinstance(key.material, ec.EllipticCurvePrivateKey)  # noqa: S101 - ours are, and none signs by itself
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[-MAX_NAME_CHARS:])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.material.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .sign(key.material, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
