"""The key that signs checkpoints of the audit: in a file of its own, never in the database (D15)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from keyless.errors import ConfigurationError
from keyless.jose.algorithms import PrivateKeyMaterial
from keyless.jose.jwk import PublicKey, thumbprint
from keyless.jose.signing import SigningKey
from keyless.server.services.private_file import MAX_BYTES, create_private, read_private
from keyless.server.settings import StoreSettings

FILE_NAME: Final = "checkpoint.key"
_HINT: Final = "Make one with: openssl genpkey -algorithm ed25519"
_LEAKED: Final = "make a new one: checkpoints that it signed prove little"


def checkpoint_key_path(settings: StoreSettings) -> Path | None:
    """Return where the key is or would be made; `None` beside PostgreSQL when no setting names a file."""
    if settings.checkpoint_key_file is not None:
        return settings.checkpoint_key_file
    if isinstance(settings.database, Path):
        return settings.database.absolute().with_name(FILE_NAME)
    return None


def load_checkpoint_key(settings: StoreSettings, *, create: bool = False) -> SigningKey | None:
    """Return the key of `checkpoint_key_file`, else of `checkpoint.key` beside the SQLite file.

    Args:
        settings: Name the file and the database.
        create: Make the one beside the database when it is missing.

    Returns:
        `None` when there is no such file and none was made.

    Raises:
        ConfigurationError: The file has no such key, or others may read or replace it.
    """
    path = checkpoint_key_path(settings)
    if path is None:
        return None
    if settings.checkpoint_key_file is None and not path.exists():
        if not create:
            return None
        made = SigningKey.generate("Ed25519").material
        create_private(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        material = load_pem_private_key(read_private(path, "checkpoint_key_file", hint=_LEAKED), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{path} is not an unencrypted private key in PEM", hint=_HINT) from None
    if not isinstance(material, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{path} is neither an Ed25519 nor a P-256 key", hint=_HINT)
    return SigningKey(thumbprint(material.public_key()), _algorithm(material, path), material)


def read_public_key(path: Path) -> PublicKey:
    """Return the key that checks checkpoints, from a PEM file with the public or the private key.

    Raises:
        ConfigurationError: It is neither.
    """
    try:
        content = path.read_bytes()[:MAX_BYTES]
        if b"PRIVATE KEY" in content:
            material = load_pem_private_key(content, password=None)
            public = material.public_key()
        else:
            public = load_pem_public_key(content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{path} is not a key in PEM") from None
    if not isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise ConfigurationError(f"{path} is neither an Ed25519 nor a P-256 key")
    algorithm = "Ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "ES256"
    return PublicKey(thumbprint(public), algorithm, public)


def public_pem(key: SigningKey) -> str:
    """Return the public half, for whoever keeps checkpoints and checks them elsewhere."""
    encoded = key.material.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode("ascii")


def _algorithm(material: PrivateKeyMaterial, path: Path) -> str:
    if isinstance(material, ed25519.Ed25519PrivateKey):
        return "Ed25519"
    if isinstance(material, ec.EllipticCurvePrivateKey) and material.curve.name == "secp256r1":
        return "ES256"
    raise ConfigurationError(f"{path} is neither an Ed25519 nor a P-256 key", hint=_HINT)
