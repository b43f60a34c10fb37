"""Signatures: the standards' own examples, another library's, and none of the tricks."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from keyless.errors import InvalidSignatureError
from keyless.jose.algorithms import (
    ALGORITHMS,
    P256_ORDER,
    has_low_s,
    key_fits,
    p256_signature,
    sign,
    verify_signature,
)
from keyless.jose.compact import b64url_decode, b64url_encode, parse_compact
from keyless.jose.jwk import parse_jwk
from tests.jose.keys import (
    ALL_ALGORITHMS,
    EC_ALGORITHMS,
    EDDSA_ALGORITHMS,
    RSA_ALGORITHMS,
    SignatureVector,
    signing_key,
    vectors,
)

TEXT = b"what was signed"
EXAMPLES = [vector for source in ("rfc7515", "rfc7520", "rfc8037") for vector in vectors(source)["signatures"]]
PAIRS = [
    pytest.param(used, claimed, id=f"{used}-as-{claimed or 'empty'}")
    for used in ALL_ALGORITHMS
    for claimed in (*ALL_ALGORITHMS, "none", "None", "NONE", "", "HS256", "rs256", "ES256K", "RS1")
    if used != claimed and not {used, claimed} <= set(EDDSA_ALGORITHMS)
]
# joserfc warns that RFC 9864 gives `EdDSA` another name; issuers will say the old one for years.
old_name_allowed = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@pytest.mark.parametrize("vector", EXAMPLES, ids=lambda vector: vector["name"])
def test_the_examples_of_the_standards_verify(vector: SignatureVector) -> None:
    """V09: RFC 7515 appendix A, RFC 7520 section 4, RFC 8037 appendix A."""
    token = parse_compact(vector["token"])

    verify_signature(vector["algorithm"], parse_jwk(vector["jwk"]).material, token.signing_input, token.signature)


def test_only_asymmetric_algorithms_are_known() -> None:
    """V04, T01, T02: no setting can turn `none` or HMAC on."""
    assert ALGORITHMS == set(ALL_ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_what_we_sign_we_verify(algorithm: str) -> None:
    """V09."""
    key = signing_key(algorithm)

    verify_signature(algorithm, key.public_key().material, TEXT, sign(algorithm, key.material, TEXT))


@old_name_allowed
@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_another_library_verifies_what_we_sign(algorithm: str) -> None:
    """D1: joserfc is the cross-check."""
    key = signing_key(algorithm)
    theirs = import_key({k: str(v) for k, v in key.public_jwk().items()})
    token = jws.deserialize_compact(key.sign({"sub": "ä"}), theirs, algorithms=[algorithm])

    assert json.loads(token.payload) == {"sub": "ä"}


@old_name_allowed
@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_we_verify_what_another_library_signs(algorithm: str) -> None:
    """D1: joserfc is the cross-check."""
    key = signing_key(algorithm)
    pkcs8 = key.to_pkcs8()
    theirs: RSAKey | ECKey | OKPKey
    if algorithm in RSA_ALGORITHMS:
        theirs = RSAKey.import_key(pkcs8)
    else:
        theirs = (ECKey if algorithm in EC_ALGORITHMS else OKPKey).import_key(pkcs8)
    token = parse_compact(jws.serialize_compact({"alg": algorithm}, TEXT, theirs, algorithms=[algorithm]))

    verify_signature(algorithm, key.public_key().material, token.signing_input, token.signature)


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_another_text_does_not_verify(algorithm: str) -> None:
    """V09."""
    key = signing_key(algorithm)
    signature = sign(algorithm, key.material, TEXT)

    with pytest.raises(InvalidSignatureError):
        verify_signature(algorithm, key.public_key().material, TEXT + b"!", signature)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_another_key_of_the_same_kind_does_not_verify(algorithm: str) -> None:
    """K01."""
    signature = sign(algorithm, signing_key(algorithm).material, TEXT)

    with pytest.raises(InvalidSignatureError):
        verify_signature(algorithm, signing_key(algorithm, 1).public_key().material, TEXT, signature)


@pytest.mark.parametrize(("used", "claimed"), PAIRS)
def test_the_algorithm_is_part_of_what_is_proven(used: str, claimed: str) -> None:
    """T01, T03: a signature of one algorithm never passes as another's; only the two names of EdDSA are one."""
    key = signing_key(used)
    signature = sign(used, key.material, TEXT)

    with pytest.raises(InvalidSignatureError):
        verify_signature(claimed, key.public_key().material, TEXT, signature)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS384", "HS512"])
def test_an_hmac_made_with_the_public_key_is_refused(algorithm: str) -> None:
    """T02: the classic confusion."""
    material = signing_key("RS256").public_key().material
    secret = json.dumps(signing_key("RS256").public_jwk()).encode()

    with pytest.raises(InvalidSignatureError):
        verify_signature(algorithm, material, TEXT, hmac.digest(secret, TEXT, hashlib.sha256))


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
@pytest.mark.parametrize("change", ["empty", "zero", "short", "long", "leading-zero", "doubled", "ones", "huge"])
def test_a_signature_of_another_width_or_of_nothing_is_refused(algorithm: str, change: str) -> None:
    """T13 (the all-zero ECDSA signature), V09."""
    key = signing_key(algorithm)
    good = sign(algorithm, key.material, TEXT)
    bad = {
        "empty": b"",
        "zero": bytes(len(good)),
        "short": good[:-1],
        "long": good + b"\0",
        "leading-zero": b"\0" + good,
        "doubled": good * 2,
        "ones": b"\xff" * len(good),
        "huge": good + bytes(20_000),
    }[change]

    with pytest.raises(InvalidSignatureError):
        verify_signature(algorithm, key.public_key().material, TEXT, bad)


@pytest.mark.parametrize("algorithm", EC_ALGORITHMS)
@pytest.mark.parametrize(
    ("r", "s"), [(0, 1), (1, 0), (0, 0), (-1, 1), (1, -1)], ids=["r=0", "s=0", "both=0", "r=max", "s=max"]
)
def test_an_ecdsa_number_outside_the_group_is_refused(algorithm: str, r: int, s: int) -> None:
    """T13: the psychic signature, and its neighbours."""
    width = {"ES256": 32, "ES384": 48, "ES512": 66}[algorithm]
    signature = b"".join((number % 256**width).to_bytes(width, "big") for number in (r, s))

    with pytest.raises(InvalidSignatureError):
        verify_signature(algorithm, signing_key(algorithm).public_key().material, TEXT, signature)


@pytest.mark.parametrize("algorithm", EC_ALGORITHMS)
def test_a_der_signature_is_refused(algorithm: str) -> None:
    """V09: RFC 7518 section 3.4 has r and s side by side, nothing else."""
    material = signing_key(algorithm).material
    assert isinstance(material, ec.EllipticCurvePrivateKey)
    hashed: hashes.HashAlgorithm = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}[
        algorithm
    ]
    der = material.sign(TEXT, ec.ECDSA(hashed))

    with pytest.raises(InvalidSignatureError):
        verify_signature(algorithm, material.public_key(), TEXT, der)


def test_es256_signatures_are_low_s() -> None:
    """D6: of the two spellings of each ECDSA signature we write one."""
    key = signing_key("ES256")

    assert all(has_low_s(sign("ES256", key.material, bytes([n]))) for n in range(40))


def test_the_other_spelling_of_an_ecdsa_signature_is_told_apart() -> None:
    """D6, T12: it verifies, so whoever wants one spelling has to look at s."""
    key = signing_key("ES256")
    low = sign("ES256", key.material, TEXT)
    high = low[:32] + (P256_ORDER - int.from_bytes(low[32:], "big")).to_bytes(32, "big")
    verify_signature("ES256", key.public_key().material, TEXT, high)

    assert has_low_s(low)
    assert not has_low_s(high)


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(65)], ids=len)
def test_low_s_is_a_property_of_64_bytes(signature: bytes) -> None:
    """D6."""
    assert not has_low_s(signature)


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
@pytest.mark.parametrize("other", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_fits_the_algorithms_of_its_type_and_curve_only(algorithm: str, other: str) -> None:
    """V08, T03, T13: curve and algorithm belong together."""
    families = ({"RS256", *RSA_ALGORITHMS}, {"ES256"}, {"ES384"}, {"ES512"}, {"EdDSA", "Ed25519"})
    fits = any({algorithm, other} <= family for family in families)
    key = signing_key(other)

    assert key_fits(algorithm, key.public_key().material) is fits
    assert key_fits(algorithm, key.material) is fits
    if not fits:
        with pytest.raises(ValueError, match=algorithm):
            sign(algorithm, key.material, TEXT)


def test_the_padding_of_the_signature_segment_is_checked_before_the_signature() -> None:
    """T12: an ES256 signature has 86 characters, the last of which has two spare bits."""
    text = b64url_encode(sign("ES256", signing_key("ES256").material, TEXT))

    assert len(text) == 86
    assert b64url_encode(b64url_decode(text)) == text


@given(r=st.integers(1, P256_ORDER - 1), s=st.integers(1, P256_ORDER - 1))
@example(r=1, s=1)
@example(r=2**255, s=P256_ORDER // 2)
@example(r=2**248 - 1, s=P256_ORDER // 2 + 1)
@example(r=P256_ORDER - 1, s=P256_ORDER - 1)
def test_a_signature_is_read_out_of_its_der_as_the_library_reads_it(r: int, s: int) -> None:
    """D6: 32 bytes each, whatever the numbers' lengths, and of the two values of `s` the low one."""
    written = p256_signature(encode_dss_signature(r, s))

    assert written == r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_what_checks_for_a_key_checks_again_and_again(algorithm: str) -> None:
    """V09: kept between tokens, it still believes one signature over one text only."""
    key = signing_key(algorithm)
    check = key.public_key().verifier(algorithm)
    assert check is not None
    signature = sign(algorithm, key.material, b"text")

    check(b"text", signature)
    for text, wrong in ((b"texts", signature), (b"text", signature[:-1]), (b"text", signature[::-1]), (b"text", b"")):
        with pytest.raises(InvalidSignatureError):
            check(text, wrong)
    check(b"text", signature)
