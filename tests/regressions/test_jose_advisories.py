"""One test per advisory about reading signed tokens: the attack that others fell to, against our own rooms."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyless.errors import (
    AudienceMismatchError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    MissingClaimError,
)
from keyless.jose.compact import MAX_TOKEN_CHARS, b64url_encode
from keyless.jose.jwk import parse_jwk
from keyless.oidc.id_token import VerifiedIdToken, read_unverified, verify_id_token
from keyless.oidc.issuer import Issuer
from keyless.testing.claims import DROP, github_claims, merge
from keyless.testing.clock import NOON
from tests.jose.keys import RSA_ALGORITHMS, forge, signing_key

URL = "https://token.actions.githubusercontent.com"
AUDIENCE = "https://hub.example.org"
ISSUER = Issuer(id=1, url=URL, kind="github", algorithms=("RS256", "ES256"))
KEY = signing_key("RS256")


def claims(**changes: object) -> dict[str, object]:
    """The claims of a good token, changed."""
    good = github_claims(iss=URL, aud=AUDIENCE, iat=int(NOON), nbf=int(NOON), exp=int(NOON) + 300, jti="j")
    return merge(good, changes)


def verify(token: str, *, issuer: Issuer = ISSUER, algorithm: str = "RS256") -> VerifiedIdToken:
    """Verify as the service does, with the issuer's one key."""
    keys = [signing_key(algorithm).public_key()]
    return verify_id_token(read_unverified(token), issuer=issuer, keys=keys, audience=AUDIENCE, now=NOON)


def signed(header: Mapping[str, object] | None = None, /, **changes: object) -> str:
    """A good token with header members added and claims changed."""
    return forge(KEY, {"alg": "RS256", "kid": "key-0", **(header or {})}, claims(**changes))


def test_the_unchanged_token_is_accepted() -> None:
    """So that the refusals below prove something."""
    assert verify(signed()).subject


@pytest.mark.parametrize("advisory", ["CVE-2018-0114", "CVE-2026-27962"])
def test_a_key_in_the_header_is_not_used(advisory: str) -> None:
    """T04, CVE-2018-0114 (node-jose), CVE-2026-27962 (Authlib): the token brought the key that verified it."""
    attacker = signing_key("RS256", 1)
    header: dict[str, object] = {"alg": "RS256", "jwk": attacker.public_jwk()}
    header["kid"] = "key-0" if advisory == "CVE-2018-0114" else attacker.kid

    with pytest.raises(MalformedTokenError):
        verify(forge(attacker, header, claims()))


def test_an_all_zero_ecdsa_signature_is_refused() -> None:
    """V09, T13, CVE-2022-21449 (Java): r = s = 0 verified for every text and key."""
    header, payload, _ = forge(signing_key("ES256"), {"alg": "ES256", "kid": "key-0"}, claims()).split(".")

    with pytest.raises(InvalidSignatureError):
        verify(f"{header}.{payload}.{b64url_encode(bytes(64))}", algorithm="ES256")


@pytest.mark.parametrize("before", ["", " ", "\n", "\t\n "])
@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_an_hmac_with_the_public_key_as_secret_is_refused(form: PublicFormat, before: str) -> None:
    """T02, CVE-2023-48223 (fast-jwt: another PEM label), CVE-2026-34950 (fast-jwt: blanks before the PEM)."""
    pem = before.encode() + KEY.public_key().material.public_bytes(Encoding.PEM, form)
    signing_input = (
        f"{b64url_encode(json.dumps({'alg': 'HS256', 'kid': 'key-0'}).encode())}"
        f".{b64url_encode(json.dumps(claims()).encode())}"
    )
    token = f"{signing_input}.{b64url_encode(hmac.digest(pem, signing_input.encode(), hashlib.sha256))}"

    with pytest.raises(InvalidSignatureError):
        verify(token)


@pytest.mark.parametrize("algorithm", ["HS256", "RS384", "RS512", "PS256", "none"])
def test_a_key_without_alg_leaves_nothing_to_the_header(algorithm: str) -> None:
    """T03, CVE-2026-22817 (Hono): where the key named no algorithm, the token's header chose it."""
    jwk = {name: value for name, value in KEY.public_jwk().items() if name != "alg"}
    signs_with = algorithm if algorithm in RSA_ALGORITHMS else "RS256"
    token = forge(replace(KEY, algorithm=signs_with), {"alg": algorithm, "kid": "key-0"}, claims())

    with pytest.raises(InvalidSignatureError):
        verify_id_token(
            read_unverified(token), issuer=replace(ISSUER, algorithms=("RS256",)), keys=[parse_jwk(jwk)],
            audience=AUDIENCE, now=NOON,
        )  # fmt: skip


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["x"], "x": 1}, {"b64": False}])
def test_what_the_header_calls_critical_is_refused(header: dict[str, object]) -> None:
    """T08, CVE-2025-59420 (Authlib), CVE-2026-32597 (PyJWT): unknown critical members were ignored."""
    with pytest.raises(MalformedTokenError):
        verify(signed(header))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_huge_segment_is_refused_before_it_is_decoded(segment: int) -> None:
    """T11, CVE-2025-61920 (Authlib): a header of hundreds of megabytes was decoded first."""
    parts = signed().split(".")
    parts[segment] = "A" * (MAX_TOKEN_CHARS + 1)

    with pytest.raises(MalformedTokenError, match="longer than"):
        read_unverified(".".join(parts))


def test_a_text_of_dots_is_counted_not_split() -> None:
    """T11, CVE-2025-66506 (Fulcio): splitting an attacker's text on its dots ate the memory."""
    with pytest.raises(MalformedTokenError, match="three segments"):
        read_unverified("." * MAX_TOKEN_CHARS)


@pytest.mark.parametrize(
    "iss", ["https://token.actions", "token.actions.githubusercontent.com", "https", "", f"{URL}.evil.example"]
)
def test_a_part_of_the_issuer_is_not_the_issuer(iss: str) -> None:
    """S09, T21, CVE-2024-53861 (PyJWT): the check asked whether one text is inside the other."""
    with pytest.raises(MalformedTokenError):
        verify(signed(iss=iss))


@pytest.mark.parametrize("changes", [{"aud": DROP}, {"aud": ""}, {"aud": []}, {"aud": None}])
def test_a_token_without_audience_is_refused(changes: dict[str, object]) -> None:
    """T41, CVE-2024-5798, HCSEC-2024-11 (Vault): without a bound audience the check was left out."""
    with pytest.raises(MissingClaimError):
        verify(signed(**changes))


def test_an_audience_that_is_among_others_is_refused() -> None:
    """T42, HCSEC-2024-11, CVE-2024-5798 (Vault): one of several was enough."""
    with pytest.raises(AudienceMismatchError):
        verify(signed(aud=[AUDIENCE, "https://other.example"]))


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["0", "9999999999", [], {}, True], ids=repr)
def test_a_time_of_another_type_is_not_an_absent_one(claim: str, value: object) -> None:
    """T14, CVE-2026-25537 (jsonwebtoken for Rust): a text in `exp` or `nbf` switched the check off."""
    with pytest.raises(InvalidClaimError):
        verify(signed(None, **{claim: value}))
