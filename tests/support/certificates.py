"""A private certificate authority and a server certificate for 127.0.0.1, made once per session."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import ssl
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@functools.cache
def make_authority(host: str) -> tuple[Path, Path]:
    """Return the paths of the authority's certificate and of the server's key and certificate."""
    folder = Path(tempfile.mkdtemp(prefix="keyless-test-ca-"))
    now = dt.datetime.now(dt.UTC)

    def builder(name: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = (
        builder("test authority", ca_key, "test authority")
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .add_extension(_signs_certificates(), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    # Python 3.13 verifies strictly (RFC 5280 section 4.2.1.1): a leaf names its authority's key.
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    leaf = (
        builder(host, key, "test authority")
        .add_extension(names, critical=False)
        .add_extension(authority_key, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ca_path, leaf_path = folder / "ca.pem", folder / "leaf.pem"
    ca_path.write_bytes(authority.public_bytes(pem))
    leaf_path.write_bytes(secret + leaf.public_bytes(pem))
    return ca_path, leaf_path


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


@functools.cache
def hashed_directory(host: str) -> Path:
    """Return a directory that holds the authority's certificate under the name by which OpenSSL looks for it."""
    authority = make_authority(host)[0]
    directory = authority.parent / "hashed"
    directory.mkdir()
    words = ["openssl", "x509", "-subject_hash", "-noout", "-in", str(authority)]
    name = subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
    (directory / f"{name}.0").write_bytes(authority.read_bytes())
    return directory


def server_context(host: str = "127.0.0.1") -> ssl.SSLContext:
    """Return the context of a server for `host`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_authority(host)[1])
    return context
