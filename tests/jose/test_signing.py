"""Signing keys: made, kept, loaded, never shown."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keyless.jose.algorithms import verify_signature
from keyless.jose.compact import parse_compact
from keyless.jose.jwk import thumbprint
from keyless.jose.signing import SigningKey
from tests.jose.keys import ALL_ALGORITHMS, signing_key


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_a_stored_key_signs_as_before(algorithm: str) -> None:
    """D21: what is encrypted at rest is the whole key."""
    key = signing_key(algorithm)
    loaded = SigningKey.from_pkcs8(key.kid, algorithm, key.to_pkcs8())
    token = parse_compact(loaded.sign({"a": 1}))

    assert loaded.public_jwk() == key.public_jwk()
    verify_signature(algorithm, key.public_key().material, token.signing_input, token.signature)


def test_a_token_says_its_algorithm_key_and_type() -> None:
    """D5."""
    token = parse_compact(signing_key("ES256").sign({"sub": "ä", "n": 1}, typ="at+jwt"))

    assert token.unverified_header == {"alg": "ES256", "kid": "key-0", "typ": "at+jwt"}
    assert json.loads(token.unverified_payload) == {"sub": "ä", "n": 1}


def test_two_types_of_token_of_one_key_keep_their_headers() -> None:
    """D5: the cached header is that of its type."""
    key = signing_key("ES256")
    headers = [parse_compact(key.sign({}, typ=typ)).unverified_header["typ"] for typ in ("a", "b", "a")]

    assert headers == ["a", "b", "a"]


def test_a_new_key_is_named_by_its_thumbprint() -> None:
    """D21: no two keys share a name by accident."""
    key = SigningKey.generate()

    assert key.kid == thumbprint(key.public_key().material)
    assert key.algorithm == "ES256"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "", "es256"])
def test_no_key_is_made_for_an_algorithm_we_do_not_know(algorithm: str) -> None:
    """T01, T02."""
    with pytest.raises(ValueError, match="unknown algorithm"):
        SigningKey.generate(algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "ES384", "EdDSA", "none"])
def test_a_key_is_not_loaded_for_an_algorithm_it_does_not_fit(algorithm: str) -> None:
    """V08."""
    with pytest.raises(ValueError, match="cannot sign"):
        SigningKey.from_pkcs8("k", algorithm, signing_key("ES256").to_pkcs8())


def test_what_is_no_key_is_not_loaded() -> None:
    """D21: a row that was tampered with is an error, not a key."""
    with pytest.raises(ValueError, match=r".+"):
        SigningKey.from_pkcs8("k", "ES256", b"\x30\x00")


def test_repr_shows_no_key() -> None:
    """D21: a key in a log line is its name."""
    key = SigningKey.generate(kid="k")
    key.sign({})

    assert repr(key) == "SigningKey(kid='k', algorithm='ES256')"


def test_a_stored_key_is_plain_pkcs8() -> None:
    """D21: other tools can read a backup."""
    material = signing_key("RS256").material
    assert isinstance(material, rsa.RSAPrivateKey)

    assert signing_key("RS256").to_pkcs8() == material.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
