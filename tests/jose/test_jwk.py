"""Key sets: what may verify, what is skipped, what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import MalformedTokenError
from keyless.jose.algorithms import verify_signature
from keyless.jose.compact import b64url_encode
from keyless.jose.jwk import MAX_KEYS, MAX_KEYS_PER_KID, parse_jwk, parse_jwks, public_jwk, thumbprint
from tests.jose.keys import ThumbprintVector, signing_key, vectors

THUMBPRINTS = [vector for source in ("rfc7638", "rfc8037") for vector in vectors(source)["thumbprints"]]


def jwk(algorithm: str = "RS256", /, **changes: object) -> dict[str, object]:
    """Return a good key with members changed; `None` leaves one out."""
    members = {**signing_key(algorithm).public_jwk(), **changes}
    return {name: value for name, value in members.items() if value is not None}


def rsa_jwk(bits: int, exponent: int = 65537) -> dict[str, object]:
    """Return an RSA key of exactly that size; its modulus is odd, which is all that is looked at."""
    return {
        "kty": "RSA",
        "kid": "k",
        "n": b64url_encode(((1 << (bits - 1)) | 1).to_bytes((bits + 7) // 8, "big")),
        "e": b64url_encode(exponent.to_bytes((exponent.bit_length() + 7) // 8 or 1, "big")),
    }


def key_set(*keys: object) -> bytes:
    """Return the document that publishes these keys."""
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_comes_back_from_its_jwk(algorithm: str) -> None:
    """K08: every kind of key we sign with is a kind we read."""
    key = parse_jwk(jwk(algorithm))

    assert key.kid == "key-0"
    assert key.algorithm == algorithm
    assert public_jwk(key.material, kid=key.kid, algorithm=key.algorithm) == jwk(algorithm)


@pytest.mark.parametrize("bits", [2048, 3072, 4096, 8192])
def test_an_rsa_key_of_the_allowed_sizes_is_taken(bits: int) -> None:
    """V08."""
    material = parse_jwk(rsa_jwk(bits)).material

    assert isinstance(material, rsa.RSAPublicKey)
    assert material.key_size == bits


@pytest.mark.parametrize("bits", [8, 512, 1024, 2047, 8193, 16384, 100_000])
def test_an_rsa_key_of_another_size_is_refused(bits: int) -> None:
    """V08, T13 (short), T19 (long: it would only burn our time)."""
    with pytest.raises(MalformedTokenError):
        parse_jwk(rsa_jwk(bits))


@pytest.mark.parametrize("exponent", [3, 17, 65537, 2**63 + 1])
def test_an_odd_exponent_of_at_least_three_is_taken(exponent: int) -> None:
    """V08."""
    assert parse_jwk(rsa_jwk(2048, exponent)).kid == "k"


@pytest.mark.parametrize("exponent", [0, 1, 2, 4, 65536, 2**64 + 1, 2**2048 + 1])
def test_another_exponent_is_refused(exponent: int) -> None:
    """V08, T13: with exponent 1 everybody can sign."""
    with pytest.raises(MalformedTokenError):
        parse_jwk(rsa_jwk(2048, exponent))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"crv": "P-384"}, id="coordinates-of-another-curve"),
        pytest.param({"crv": "P-224"}, id="unknown-curve"),
        pytest.param({"crv": "secp256k1"}, id="bitcoin-curve"),
        pytest.param({"crv": None}, id="no-curve"),
        pytest.param({"x": b64url_encode(bytes(32))}, id="point-off-the-curve"),
        pytest.param({"x": b64url_encode(bytes(32)), "y": b64url_encode(bytes(32))}, id="origin"),
        pytest.param({"x": b64url_encode(b"\xff" * 32)}, id="coordinate-beyond-the-field"),
        pytest.param({"x": b64url_encode(bytes(31))}, id="short-coordinate"),
        pytest.param({"x": b64url_encode(bytes(33))}, id="long-coordinate"),
        pytest.param({"y": None}, id="no-y"),
        pytest.param({"y": 7}, id="y-is-a-number"),
        pytest.param({"x": "AB"}, id="non-canonical-base64url"),
        pytest.param({"x": "A==="}, id="padding"),
    ],
)
def test_an_elliptic_key_that_is_none_is_refused(changes: Mapping[str, object]) -> None:
    """V08, T13."""
    with pytest.raises(MalformedTokenError):
        parse_jwk(jwk("ES256", **changes))


# RFC 8032 section 5.1: every spelling of the points whose order divides eight, both signs, and beyond the field.
_PRIME = 2**255 - 19
_EIGHT = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL = [0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _EIGHT, _PRIME - _EIGHT]


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", _SMALL, ids=["0", "1", "p-1", "p", "p+1", "eight", "minus-eight"])
def test_an_ed25519_key_of_small_order_is_refused(y: int, sign_bit: int) -> None:
    """T13: for such a key there are signatures that fit every text."""
    point = (y | sign_bit << 255).to_bytes(32, "little")

    with pytest.raises(MalformedTokenError):
        parse_jwk(jwk("EdDSA", x=b64url_encode(point)))


def test_the_reason_why_small_order_is_refused() -> None:
    """T13: the library itself lets anyone sign for the identity point."""
    identity = ed25519.Ed25519PublicKey.from_public_bytes(b"\1" + bytes(31))

    verify_signature("EdDSA", identity, b"any text", b"\1" + bytes(63))


@pytest.mark.parametrize(
    "changes",
    [
        {"x": b64url_encode(bytes(31))},
        {"x": b64url_encode(bytes(33))},
        {"crv": "X25519"},
        {"crv": "Ed448"},
        {"x": None},
    ],
    ids=["short", "long", "x25519", "ed448", "no-x"],
)
def test_an_octet_key_that_is_not_ed25519_is_refused(changes: Mapping[str, object]) -> None:
    """V08."""
    with pytest.raises(MalformedTokenError):
        parse_jwk(jwk("EdDSA", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"use": "enc"}, id="use-enc"),
        pytest.param({"use": ""}, id="use-empty"),
        pytest.param({"use": ["sig"]}, id="use-list"),
        pytest.param({"key_ops": ["sign"]}, id="key-ops-without-verify"),
        pytest.param({"key_ops": []}, id="key-ops-empty"),
        pytest.param({"key_ops": "verify"}, id="key-ops-text"),
        pytest.param({"kty": "oct", "k": "AAAA"}, id="symmetric"),
        pytest.param({"kty": "rsa"}, id="kty-case"),
        pytest.param({"kty": None}, id="no-kty"),
        pytest.param({"kty": ["RSA"]}, id="kty-list"),
        pytest.param({"kid": ""}, id="kid-empty"),
        pytest.param({"kid": "k" * 257}, id="kid-long"),
        pytest.param({"kid": 7}, id="kid-number"),
        pytest.param({"alg": 7}, id="alg-number"),
        pytest.param({"n": 7}, id="n-number"),
        pytest.param({"n": ""}, id="n-empty"),
        pytest.param({"e": None}, id="no-e"),
    ],
)
def test_a_key_for_something_else_is_refused(changes: Mapping[str, object]) -> None:
    """V08."""
    with pytest.raises(MalformedTokenError):
        parse_jwk(jwk("RS256", **changes))


@pytest.mark.parametrize("changes", [{"use": None}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]},
                                     {"alg": None}, {"x5c": ["AAAA"], "x5t": "AAAA"}, {"kid": "k" * 256}],
                         ids=["no-use", "verify", "sign-verify", "no-alg", "certificate", "longest-kid"])  # fmt: skip
def test_what_providers_really_publish_is_taken(changes: Mapping[str, object]) -> None:
    """V08: GitHub's keys carry certificates, others say less."""
    assert parse_jwk(jwk("RS256", **changes)).fits("RS256")


@pytest.mark.parametrize("thing", [None, 1, "RSA", [], [{"kty": "RSA"}], {}])
def test_what_is_no_key_is_refused(thing: object) -> None:
    """T32."""
    with pytest.raises(MalformedTokenError):
        parse_jwk(thing)


def test_private_members_are_ignored() -> None:
    """T13: an issuer that publishes its private key gives us a public key, and nothing we keep can sign."""
    key = parse_jwk(jwk("ES256", d=b64url_encode(bytes(32))))

    assert isinstance(key.material, ec.EllipticCurvePublicKey)
    assert "d" not in public_jwk(key.material)


def test_repr_shows_names_only() -> None:
    """V07: a key in a log line is its name."""
    assert repr(parse_jwk(jwk("ES256"))) == "PublicKey(kid='key-0', algorithm='ES256')"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"kty": "oct", "kid": "s", "k": "AAAA"}, id="symmetric"),
        pytest.param({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, id="new-type"),
        pytest.param({**rsa_jwk(1024)}, id="weak"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}, id="broken"),
        pytest.param(None, id="null"),
        pytest.param("key", id="text"),
        pytest.param([], id="list"),
    ],
)
def test_one_odd_key_is_skipped(odd: object) -> None:
    """T32, RFC 7517 section 5: a new kind of key must not take the issuer down."""
    keys = parse_jwks(key_set(odd, jwk("RS256"), odd))

    assert keys.kids == {"key-0"}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(key_set(), id="empty"),
        pytest.param(key_set({"kty": "oct", "k": "AAAA"}), id="nothing-usable"),
        pytest.param(b"{}", id="no-keys"),
        pytest.param(b'{"keys":{}}', id="keys-is-an-object"),
        pytest.param(b'{"keys":null}', id="keys-is-null"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b"", id="nothing"),
        pytest.param(json.dumps(jwk("RS256")).encode(), id="a-bare-key"),
        pytest.param(b'{"keys":[],"keys":' + key_set(jwk("RS256"))[9:], id="two-lists"),
        pytest.param(b'{"keys":' + b"[" * 20_000 + b"]" * 20_000 + b"}", id="deep"),
        pytest.param(key_set(*[jwk("RS256")] * (MAX_KEYS + 1)), id="65-keys"),
    ],
)
def test_a_set_that_is_none_is_refused(document: bytes) -> None:
    """K05, K08, T09, T19: the caller keeps its good set."""
    with pytest.raises(MalformedTokenError):
        parse_jwks(document)


def test_sixty_four_keys_are_a_set() -> None:
    """K08: the bound is the documented one."""
    keys = parse_jwks(key_set(*(jwk("ES256", kid=f"k{n}") for n in range(MAX_KEYS))))

    assert len(keys.keys) == 64


def test_of_keys_with_one_name_four_are_kept() -> None:
    """V08: names may collide, but nobody makes us try thousands."""
    keys = parse_jwks(key_set(*(jwk("ES256", kid="same") for _ in range(9))))

    assert len(keys.find("same", "ES256")) == MAX_KEYS_PER_KID == 4


def test_a_key_without_a_name_can_never_be_chosen() -> None:
    """V07, T07."""
    keys = parse_jwks(key_set(jwk("RS256", kid=None), jwk("ES256")))

    assert keys.kids == {"key-0"}
    assert all(not keys.find(kid) for kid in ("", "None", "null"))


def test_keys_of_one_name_are_told_apart_by_algorithm() -> None:
    """V04, V08: the key's own `alg` binds it; without one, its type and curve do."""
    keys = parse_jwks(key_set(jwk("RS256"), jwk("ES256", alg=None), jwk("ES384"), jwk("RS256", alg="RSA-OAEP")))

    assert [key.algorithm for key in keys.find("key-0", "RS256")] == ["RS256"]
    assert [key.algorithm for key in keys.find("key-0", "ES256")] == [None]
    assert keys.find("key-0", "RS512") == ()
    assert keys.find("key-0", "none") == ()
    assert len(keys.find("key-0")) == 4


@pytest.mark.parametrize("vector", THUMBPRINTS, ids=lambda vector: vector["name"])
def test_the_thumbprints_of_the_standards(vector: ThumbprintVector) -> None:
    """RFC 7638 section 3.1, RFC 8037 appendix A.3: over the required members only."""
    assert thumbprint(parse_jwk(vector["jwk"]).material) == vector["thumbprint"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["RSA", "EC", "OKP", "P-256", "AQAB"]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
members = st.sampled_from(["kty", "n", "e", "crv", "x", "y", "use", "alg", "kid", "key_ops"])


@given(st.sampled_from(["RS256", "ES256", "EdDSA"]), st.dictionaries(members, json_values, max_size=3))
def test_any_change_of_a_key_is_a_key_or_our_error(algorithm: str, changes: dict[str, object]) -> None:
    """T32: no exception of a library takes the refresh of a key set down."""
    try:
        parse_jwk({**jwk(algorithm), **changes})
    except MalformedTokenError:
        return
