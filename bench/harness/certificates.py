"""A certificate authority of our own on top of the system's, as a bundle and as a hashed directory."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.children import run

USUAL_BUNDLE: Final = 145  # certificates in the bundles of current distributions
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Files for a TLS server on loopback, and for the clients that are to trust it."""

    chain: Path
    bundle: Path
    bundle_count: int
    bundle_origin: str
    hashed_directory: Path | None
    """`None` when there is no `openssl` to compute the names of its files."""


def make_authority(directory: Path) -> Authority:
    """Make an authority, a certificate for `localhost` and 127.0.0.1, and the bundle a job would have."""
    key, certificate = _certificate("keyless bench authority")
    leaf_key, leaf = _certificate("localhost", issuer=(key, certificate))
    chain = directory / "server.pem"
    chain.write_bytes(
        leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + _pem(leaf)
    )
    system, origin = _system_bundle()
    bundle = directory / "bundle.pem"
    bundle.write_bytes(system + b"\n" + _pem(certificate))
    own = directory / "own.pem"
    own.write_bytes(_pem(certificate))
    count = bundle.read_bytes().count(b"BEGIN CERTIFICATE")
    return Authority(chain, bundle, count, origin, _hashed(directory, own))


def _system_bundle() -> tuple[bytes, str]:
    paths = ssl.get_default_verify_paths()
    for name in (paths.cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if name and Path(name).is_file():
            return Path(name).read_bytes(), "the system's"
    made = [_pem(_certificate(f"keyless bench filler {number}")[1]) for number in range(USUAL_BUNDLE - 1)]
    return b"".join(made), "made for this run: the system has none"


def _hashed(directory: Path, own: Path) -> Path | None:
    """Lay out a directory as `openssl rehash` does: the system's, where it has one, and our own in it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    hashed = directory / "hashed"
    hashed.mkdir()
    system = ssl.get_default_verify_paths().openssl_capath
    for known in Path(system).glob("*.0"):
        (hashed / known.name).symlink_to(known.resolve())
    name = run([openssl, "x509", "-subject_hash", "-noout", "-in", own]).strip()
    shutil.copy(own, hashed / f"{name}.0", follow_symlinks=False)
    return hashed


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None = None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signer, signed_by = (key, subject) if issuer is None else (issuer[0], issuer[1].subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signed_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer is not None:
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    return key, builder.sign(signer, hashes.SHA256())
