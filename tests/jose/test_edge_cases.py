"""Signatures and keys at the edges that public test suites try: odd paddings, odd numbers, odd sets."""

from __future__ import annotations

import hashlib
import itertools
import json
import math

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from keyless.errors import InvalidSignatureError, MalformedTokenError
from keyless.jose.algorithms import P256_ORDER, sign, verify_signature
from keyless.jose.compact import b64url_encode, parse_compact
from keyless.jose.jwk import parse_jwk, parse_jwks
from keyless.jose.roca import is_roca
from tests.jose.keys import forge, signing_key

TEXT = b"what was signed"
# Orders of the groups (FIPS 186-4 appendix D.1.2).
ORDERS = {
    "ES256": P256_ORDER,
    "ES384": int(
        "39402006196394479212279040100143613805079739270465446667946905279627659399113263569398956308152294913554433653942643"
    ),
    "ES512": int(
        "686479766013060971498190079908139321726943530014330540939446345918554318339765539424505774633321719753296399637136"
        "3321113864768612440380340372808892707005449"
    ),
}
WIDTHS = {"ES256": 32, "ES384": 48, "ES512": 66}
# DigestInfo of SHA-256 (RFC 8017 section 9.2 note 1).
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def raw_rsa(block: bytes) -> bytes:
    """Sign a padded block as it is: what a forger's arithmetic would need to produce."""
    material = signing_key("RS256").material
    assert isinstance(material, rsa.RSAPrivateKey)
    numbers = material.private_numbers()
    number = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    return number.to_bytes(256, "big")


def padded(*, kind: bytes = b"\x00\x01", filler: bytes = b"\xff", end: bytes = b"\x00", info: bytes = SHA256_INFO,
           tail: bytes = b"", short: int = 0) -> bytes:  # fmt: skip
    """PKCS #1 v1.5 padding of TEXT, or what differs from it; always 256 bytes."""
    content = end + info + hashlib.sha256(TEXT).digest()
    room = 256 - len(kind) - len(content) - len(tail) - short
    return kind + (filler * room)[:room] + content + (tail or b"") + bytes(short)


BLOCKS = {
    "type two": padded(kind=b"\x00\x02"),
    "no leading zero": padded(kind=b"\x01\x01"),
    "zeros as filler": padded(filler=b"\x00"),
    "one odd filler byte": padded().replace(b"\xff\xff", b"\xff\xfe", 1),
    "no end of the filler": padded(end=b""),
    "garbage behind the hash": padded(tail=bytes(40)),
    "hash of another algorithm": padded(info=bytes.fromhex("3021300906052b0e03021a05000414")),
    "no parameters": padded(info=bytes.fromhex("302f300b06096086480165030402010420")),
    "long form of a length": padded(info=bytes.fromhex("308131300d060960864801650304020105000420")),
    "no digest info": padded(info=b""),
    "filler cut short": padded(short=8),
}


def test_the_padding_of_the_standard_verifies() -> None:
    """V09: so that the refusals below prove something."""
    verify_signature("RS256", signing_key("RS256").public_key().material, TEXT, raw_rsa(padded()))


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_another_rsa_padding_is_refused(block: bytes) -> None:
    """V09, T13: Bleichenbacher's forgery and its relatives need a verifier that is lax here."""
    with pytest.raises(InvalidSignatureError):
        verify_signature("RS256", signing_key("RS256").public_key().material, TEXT, raw_rsa(block))


def test_an_rsa_number_of_the_modulus_size_is_refused() -> None:
    """T13: s + n is the same number to a verifier that does not look."""
    material = signing_key("RS256").public_key().material
    assert isinstance(material, rsa.RSAPublicKey)
    signature = int.from_bytes(sign("RS256", signing_key("RS256").material, TEXT), "big")
    larger = signature + material.public_numbers().n
    for width in (256, 257):
        if larger < 256**width:
            with pytest.raises(InvalidSignatureError):
                verify_signature("RS256", material, TEXT, larger.to_bytes(width, "big"))


@pytest.mark.parametrize("algorithm", ORDERS)
def test_no_pair_of_special_numbers_verifies(algorithm: str) -> None:
    """T13: zero, one, the group's order and its neighbours, in both places."""
    order, width = ORDERS[algorithm], WIDTHS[algorithm]
    special = [n for n in (0, 1, 2, order - 1, order, order + 1, 256**width - 1) if n < 256**width]
    for r in special:
        for s in special:
            with pytest.raises(InvalidSignatureError):
                verify_signature(
                    algorithm,
                    signing_key(algorithm).public_key().material,
                    TEXT,
                    r.to_bytes(width, "big") + s.to_bytes(width, "big"),
                )


@pytest.mark.parametrize("algorithm", ORDERS)
def test_numbers_are_not_taken_modulo_the_order(algorithm: str) -> None:
    """T12, T13: r + n and s + n would be further spellings."""
    order, width = ORDERS[algorithm], WIDTHS[algorithm]
    good = sign(algorithm, signing_key(algorithm).material, TEXT)
    r, s = int.from_bytes(good[:width], "big"), int.from_bytes(good[width:], "big")
    for other in ((r + order, s), (r, s + order)):
        for wider in (width, width + 1):
            if max(other) < 256**wider:
                with pytest.raises(InvalidSignatureError):
                    verify_signature(
                        algorithm,
                        signing_key(algorithm).public_key().material,
                        TEXT,
                        b"".join(number.to_bytes(wider, "big") for number in other),
                    )


def test_a_number_written_shorter_is_another_spelling() -> None:
    """V09, T12: where s begins with a zero byte, leaving it out must not give a second signature."""
    key = signing_key("ES256")
    texts = (str(number).encode() for number in itertools.count())
    text, good = next((text, found) for text in texts if (found := sign("ES256", key.material, text))[32] == 0)
    verify_signature("ES256", key.public_key().material, text, good)

    with pytest.raises(InvalidSignatureError):
        verify_signature("ES256", key.public_key().material, text, good[:32] + good[33:])


@pytest.mark.parametrize("algorithm", ORDERS)
def test_both_spellings_of_an_id_tokens_ecdsa_signature_verify(algorithm: str) -> None:
    """T12: issuers write either, so the replay key never depends on the signature."""
    order, width = ORDERS[algorithm], WIDTHS[algorithm]
    good = sign(algorithm, signing_key(algorithm).material, TEXT)
    other = good[:width] + (order - int.from_bytes(good[width:], "big")).to_bytes(width, "big")

    for signature in (good, other):
        verify_signature(algorithm, signing_key(algorithm).public_key().material, TEXT, signature)


def test_an_eddsa_number_is_not_taken_modulo_the_order() -> None:
    """T12, RFC 8032 section 5.1.7: S + L is another spelling."""
    order = 2**252 + 27742317777372353535851937790883648493
    good = sign("EdDSA", signing_key("EdDSA").material, TEXT)
    other = good[:32] + (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")

    with pytest.raises(InvalidSignatureError):
        verify_signature("EdDSA", signing_key("EdDSA").public_key().material, TEXT, other)


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
def test_no_other_spelling_of_a_segment_is_taken(segment: int) -> None:
    """V02, T12: unused bits, padding, blanks and the other alphabet, in each segment."""
    token = forge(signing_key("RS256"), {"alg": "RS256", "kid": "k"}, b"foo?>")
    parts = token.split(".")
    text = parts[segment]
    spellings = [
        f"{text}=",
        f"{text}==",
        f" {text}",
        f"{text}\n",
        f"{text}?",
        f"?{text}",
        f"{text}????",
        f"{text[:4]} {text[4:]}",
    ]
    if len(text) % 4:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        spellings += [text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]]
    for spelling in spellings:
        with pytest.raises(MalformedTokenError):
            parse_compact(".".join([*parts[:segment], spelling, *parts[segment + 1 :]]))


def test_blanks_inside_the_headers_json_are_harmless() -> None:
    """V03: JSON allows them, and they are signed."""
    jws = parse_compact(forge(signing_key("RS256"), b'{ "kid" : "k",\n\t"alg" : "RS256" }', b"{}"))

    assert jws.unverified_header == {"kid": "k", "alg": "RS256"}


def test_a_key_that_infineons_library_made_is_refused() -> None:
    """T13, CVE-2017-15361 (ROCA): its private part can be computed from the public one."""
    product = math.prod(p for p in range(3, 168) if all(p % d for d in range(2, math.isqrt(p) + 1)))
    modulus = (2**2049 // product // 2) * product + pow(65537, 7, product)
    modulus += product if modulus % 2 == 0 else 0
    jwk = {"kty": "RSA", "kid": "k", "e": "AQAB", "n": b64url_encode(modulus.to_bytes(257, "big").lstrip(b"\0"))}

    with pytest.raises(MalformedTokenError, match="CVE-2017-15361"):
        parse_jwk(jwk)
    with pytest.raises(MalformedTokenError):
        parse_jwks(json.dumps({"keys": [jwk]}).encode())


def test_ordinary_keys_have_not_that_fingerprint() -> None:
    """T13: and the check costs no good key."""
    for number in range(2):
        material = signing_key("RS256", number).material
        assert isinstance(material, rsa.RSAPrivateKey)
        assert not is_roca(material.public_key().public_numbers().n)
