"""One accepted id token, and everything that is one change away from it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyless.errors import (
    AudienceMismatchError,
    ClaimError,
    Error,
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    MissingClaimError,
    TokenError,
)
from keyless.issuers.github import GITHUB
from keyless.jose.algorithms import P256_ORDER
from keyless.jose.compact import b64url_decode, b64url_encode
from keyless.jose.jwk import PublicKey
from keyless.jose.signing import SigningKey
from keyless.oidc.id_token import VerifiedIdToken, read_unverified, verify_id_token
from keyless.oidc.issuer import Issuer
from keyless.testing.claims import DROP, github_claims, merge
from keyless.testing.clock import NOON
from tests.jose.keys import ALL_ALGORITHMS, forge, signing_key

URL: Final = "https://token.actions.githubusercontent.com"
AUDIENCE: Final = "https://hub.example.com"
ISSUER: Final = Issuer(id=1, url=URL, kind="github", max_lifetime_seconds=900, max_age_seconds=900)
HEADER: Final[Mapping[str, object]] = {"alg": "RS256", "kid": "key-0", "typ": "JWT", "x5t": "AAAA"}


def claims(**changes: object) -> dict[str, object]:
    """Return the claims of a good token at `NOON`, changed; `DROP` leaves one out."""
    base = github_claims(iss=URL, aud=AUDIENCE, iat=int(NOON), nbf=int(NOON) - 600, exp=int(NOON) + 300, jti="0f9e8d7c")
    return merge(base, changes)


def token(header: Mapping[str, object] | None = None, key: SigningKey | None = None, /, **changes: object) -> str:
    """Return a token that is signed as it should be, with header members and claims changed."""
    return forge(key or signing_key("RS256"), merge(HEADER, header or {}), claims(**changes))


def verify(
    text: str,
    *,
    issuer: Issuer = ISSUER,
    keys: Sequence[PublicKey] | None = None,
    now: float = NOON,
    audience: str = AUDIENCE,
) -> VerifiedIdToken:
    """Verify as the exchange does."""
    return verify_id_token(
        read_unverified(text),
        issuer=issuer,
        keys=[signing_key("RS256").public_key()] if keys is None else keys,
        audience=audience,
        now=now,
        required_claims=GITHUB.required_claims,
    )


def unbound(key: SigningKey) -> PublicKey:
    """Return a key that is published without `alg`."""
    return replace(key.public_key(), algorithm=None)


def test_a_github_token_is_accepted() -> None:
    """V02-V14: the baseline that every refusal below is one change away from."""
    verified = verify(token())

    assert verified.issuer == ISSUER
    assert verified.subject == "repo:acme/widgets:ref:refs/heads/main"
    assert verified.claims == claims()
    assert (verified.issued_at, verified.expires_at, verified.jti) == (int(NOON), int(NOON) + 300, "0f9e8d7c")


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_an_issuer_may_use_any_asymmetric_algorithm_that_its_record_names(algorithm: str) -> None:
    """V04."""
    key = signing_key(algorithm)

    verify(token({"alg": algorithm}, key), issuer=replace(ISSUER, algorithms=(algorithm,)), keys=[key.public_key()])


def test_nobody_else_makes_a_verified_token() -> None:
    """V09: the type itself is the proof."""
    with pytest.raises(TypeError):
        VerifiedIdToken(ISSUER, {}, "s", 0, 0, None, b"", object())


def test_verified_claims_cannot_be_changed() -> None:
    """V09: what was signed stays what was signed."""
    with pytest.raises(TypeError):
        verify(token()).claims["sub"] = "x"  # type: ignore[index]  # the point of the test


def test_no_claim_is_in_a_repr() -> None:
    """S8: neither half of the token is printed by accident."""
    text = repr(verify(token())) + repr(read_unverified(token()))

    assert "0f9e8d7c" not in text.replace("jti='0f9e8d7c'", "")
    assert "eyJ" not in text
    assert "octocat" not in text


# --- header -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u"])
@pytest.mark.parametrize("value", [None, [], "https://evil.example/keys"], ids=["null", "list", "url"])
def test_a_header_that_asks_for_more_is_refused(name: str, value: object) -> None:
    """V03, T04, T05, T08, T10: even with a value that means nothing."""
    with pytest.raises(MalformedTokenError):
        verify(token({name: value}))


def test_an_embedded_key_is_not_used() -> None:
    """T04: the attacker signs well, with the key in the header."""
    theirs = signing_key("RS256", 1)

    with pytest.raises(MalformedTokenError):
        verify(token({"jwk": theirs.public_jwk()}, theirs))


@pytest.mark.parametrize("name", ["x5t", "x5t#S256", "x5c", "cty", "nonce"])
def test_a_header_that_means_nothing_to_us_is_ignored(name: str) -> None:
    """V03: GitHub sends `x5t`."""
    verify(token({name: "AAAA"}))


@pytest.mark.parametrize("typ", [DROP, "JWT", "jwt", "application/jwt", "APPLICATION/JWT"], ids=repr)
def test_an_id_token_says_nothing_or_jwt_as_its_type(typ: object) -> None:
    """V03."""
    verify(token({"typ": typ}))


@pytest.mark.parametrize(
    "typ",
    ["at+jwt", "application/at+jwt", "AT+JWT", "logout+jwt", "secevent+jwt", "JOSE", "JWT ", "application/",
     "application/application/jwt", None, 1, ["JWT"]],
    ids=repr,
)  # fmt: skip
def test_another_kind_of_token_is_refused(typ: object) -> None:
    """V03, T17, T100: our own access tokens say `at+jwt`."""
    with pytest.raises(MalformedTokenError):
        verify(token({"typ": typ}))


@pytest.mark.parametrize(
    "kid",
    [DROP, None, "", 0, 1, ["key-0"], {"key-0": 1}, "k" * 257, "key-0\0", "key\n0", "\x1b[31m", "key\u202e0"],
    ids=ascii,
)
def test_a_token_without_a_usable_key_name_is_refused(kid: object) -> None:
    """V07, T06, T07: we never try every key."""
    with pytest.raises(MalformedTokenError):
        verify(token({"kid": kid}))


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "k" * 256, "https://evil.example/k"])
def test_a_key_name_is_only_ever_looked_up(kid: str) -> None:
    """V07, T06, S01: whatever it says, it is a dictionary key."""
    assert read_unverified(token({"kid": kid})).unverified_kid == kid


NONES = ["none", "None", "NONE", "nOnE", "none ", " none", ""]


@pytest.mark.parametrize("algorithm", [*NONES, "HS256", "HS384", "HS512", "RS384", "PS256", "ES256", "rs256", "RS256 ",
                                       "RS1", "dir", "RSA-OAEP", "EdDSA"])  # fmt: skip
def test_an_algorithm_that_is_not_the_issuers_is_refused(algorithm: str) -> None:
    """V04, T01, T02, T03: the allow-list belongs to the record, never to the token."""
    key = signing_key("RS256")

    with pytest.raises(InvalidSignatureError):
        verify(token({"alg": algorithm}), keys=[key.public_key(), unbound(key)])


@pytest.mark.parametrize("algorithm", [DROP, None, 0, ["RS256"], {"RS256": 1}, True], ids=repr)
def test_a_header_without_an_algorithm_is_refused(algorithm: object) -> None:
    """V03, V04."""
    with pytest.raises(MalformedTokenError):
        verify(token({"alg": algorithm}))


@pytest.mark.parametrize("algorithm", NONES)
@pytest.mark.parametrize("signature", ["", "AAAA"], ids=["no-signature", "some-signature"])
def test_an_unsigned_token_is_refused(algorithm: str, signature: str) -> None:
    """T01: even by an issuer whose record was told to allow `none`."""
    body = [b64url_encode(json.dumps(part).encode()) for part in ({**HEADER, "alg": algorithm}, claims())]

    with pytest.raises(TokenError):
        verify(".".join([*body, signature]), issuer=replace(ISSUER, algorithms=(algorithm,)))


@pytest.mark.parametrize("hashed", ["HS256", "HS384", "HS512"])
def test_an_hmac_keyed_with_the_public_key_is_refused(hashed: str) -> None:
    """T02: with every secret a confused verifier might take, and the record told to allow it."""
    key = signing_key("RS256")
    secrets = [json.dumps(key.public_jwk()).encode(), str(key.public_jwk()["n"]).encode(), b""]
    body = ".".join(b64url_encode(json.dumps(part).encode()) for part in ({**HEADER, "alg": hashed}, claims()))
    for secret in secrets:
        digest = hmac.digest(secret, body.encode(), {"2": "sha256", "3": "sha384", "5": "sha512"}[hashed[2]])
        with pytest.raises(InvalidSignatureError):
            verify(
                f"{body}.{b64url_encode(digest)}",
                issuer=replace(ISSUER, algorithms=("RS256", hashed)),
                keys=[key.public_key(), unbound(key)],
            )


# --- keys and signature -----------------------------------------------------------------------------------------------


def test_another_issuers_key_does_not_count() -> None:
    """K01, T34: the same `kid`, another key."""
    with pytest.raises(InvalidSignatureError):
        verify(token(None, signing_key("RS256", 1)))


def test_without_a_key_nothing_is_proven() -> None:
    """V08."""
    with pytest.raises(InvalidSignatureError):
        verify(token(), keys=[])


@pytest.mark.parametrize("position", range(4))
def test_each_key_of_one_name_is_tried(position: int) -> None:
    """V08: two keys with one `kid` happen while an issuer rotates."""
    keys = [signing_key("RS256", 1).public_key()] * 3
    keys.insert(position, signing_key("RS256").public_key())

    verify(token(), keys=keys)


@pytest.mark.parametrize("bound", ["RS384", "PS256", "RSA-OAEP", ""])
def test_a_key_bound_to_another_algorithm_is_not_used(bound: str) -> None:
    """V04: the JWK's `alg` must equal the header's."""
    with pytest.raises(InvalidSignatureError):
        verify(token(), keys=[replace(signing_key("RS256").public_key(), algorithm=bound)])


def test_a_key_of_another_type_is_not_used() -> None:
    """V04, T03: a key without `alg` must fit by its type."""
    with pytest.raises(InvalidSignatureError):
        verify(token(), keys=[unbound(signing_key("ES256"))])


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_no_byte_of_the_signature_can_be_changed(algorithm: str) -> None:
    """V09: every byte, with every bit flipped in turn."""
    key = signing_key(algorithm)
    issuer = replace(ISSUER, algorithms=(algorithm,))
    body, _, encoded = token({"alg": algorithm}, key).rpartition(".")
    signature = b64url_decode(encoded)
    accepted = []
    for position in range(len(signature)):
        changed = bytearray(signature)
        changed[position] ^= 1 << position % 8
        try:
            verify(f"{body}.{b64url_encode(bytes(changed))}", issuer=issuer, keys=[key.public_key()])
        except InvalidSignatureError:
            continue
        accepted.append(position)

    assert accepted == []


@pytest.mark.parametrize("cut", [1, 2, 128, 255])
def test_a_part_of_the_signature_is_none(cut: int) -> None:
    """V09."""
    body, _, encoded = token().rpartition(".")

    with pytest.raises(InvalidSignatureError):
        verify(f"{body}.{b64url_encode(b64url_decode(encoded)[:cut])}")


def test_the_signature_of_another_token_is_none() -> None:
    """V09."""
    with pytest.raises(InvalidSignatureError):
        verify(token().rpartition(".")[0] + "." + token(jti="other").rpartition(".")[2])


GOOD: Final = token()
BYTES: Final = GOOD.encode()


@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255))
@example(len(BYTES) - 1, ord("A"))
@example(GOOD.index("."), ord("A"))
def test_any_one_byte_change_of_the_token_is_refused(position: int, byte: int) -> None:
    """V09, T12."""
    changed = BYTES[:position] + bytes([byte]) + BYTES[position + 1 :]
    if changed == BYTES:
        return

    with pytest.raises(TokenError):
        verify(changed.decode("latin-1"))


@given(st.integers(0, len(GOOD)), st.characters() | st.sampled_from(".=-_ \n\0A"))
def test_any_inserted_character_is_refused(position: int, character: str) -> None:
    """V09, T12."""
    with pytest.raises(TokenError):
        verify(GOOD[:position] + character + GOOD[position:])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 40))
def test_any_missing_piece_is_refused(position: int, length: int) -> None:
    """V09."""
    with pytest.raises(TokenError):
        verify(GOOD[:position] + GOOD[position + length :])


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(min_size=1, max_size=300))
def test_any_three_segments_end_in_our_error(header: bytes, payload: bytes, signature: bytes) -> None:
    """V09: no exception of a library reaches a caller."""
    with pytest.raises(Error):
        verify(".".join(map(b64url_encode, (header, payload, signature))))


@given(st.text(max_size=200))
def test_any_text_ends_in_our_error(text: str) -> None:
    """V09."""
    with pytest.raises(Error):
        verify(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "x5t", "b64"]), json_values, max_size=3),
    st.dictionaries(st.sampled_from([*claims(), "Iss", "\u0131ss"]), json_values, min_size=1, max_size=3),
)
def test_any_signed_json_is_a_token_or_our_error(header: dict[str, object], changes: dict[str, object]) -> None:
    """V09, V10: a hostile issuer signs what it likes."""
    try:
        verify(token(header, **changes))
    except TokenError:
        return


# --- payload ----------------------------------------------------------------------------------------------------------


def raw(payload: bytes) -> str:
    """Return a well-signed token with exactly this payload."""
    return forge(signing_key("RS256"), HEADER, payload)


PAYLOAD: Final = json.dumps(claims()).encode()


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(PAYLOAD[:-1] + b',"iss":"https://evil.example"}', id="second-issuer"),
        pytest.param(b'{"iss":"https://evil.example",' + PAYLOAD[1:], id="first-issuer"),
        pytest.param(PAYLOAD[:-1] + b',"repository":"acme/widgets"}', id="same-value-twice"),
        pytest.param(PAYLOAD[:-1] + rb',"\u0069\u0073\u0073":"x"}', id="escaped-second-issuer"),
        pytest.param(PAYLOAD[:-1] + b',"x":{"a":1,"a":1}}', id="nested"),
        pytest.param(PAYLOAD[:-1] + b',"x":NaN}', id="nan"),
        pytest.param(PAYLOAD[:-1] + b',"x":1e400}', id="infinite"),
        pytest.param(PAYLOAD[:-1] + b',"x":9223372036854775808}', id="65-bits"),
        pytest.param(PAYLOAD[:-1] + rb',"x":"\ud800"}', id="half-a-surrogate"),
        pytest.param(PAYLOAD[:-1] + b',"x":' + b"[" * 17 + b"]" * 17 + b"}", id="deep"),
        pytest.param(PAYLOAD[:-1] + b',"x":' + b"[" * 20_000, id="20000-deep"),
        pytest.param(PAYLOAD + b" {}", id="trailing-object"),
        pytest.param(b"\xef\xbb\xbf" + PAYLOAD, id="byte-order-mark"),
        pytest.param(PAYLOAD.decode().encode("utf-16"), id="utf-16"),
        pytest.param(b"[" + PAYLOAD + b"]", id="list"),
        pytest.param(b'"' + b64url_encode(PAYLOAD).encode() + b'"', id="text"),
        pytest.param(GOOD.encode(), id="a-token-inside-a-token"),
        pytest.param(b"\x80" + PAYLOAD, id="not-utf-8"),
    ],
)
def test_a_payload_with_two_readings_or_none_is_refused(payload: bytes) -> None:
    """V05, T09, T10, T11, T15."""
    with pytest.raises(MalformedTokenError):
        verify(raw(payload))


def test_a_header_with_two_readings_is_refused() -> None:
    """T09: `alg` twice."""
    header = json.dumps(HEADER).encode()[:-1] + b',"alg":"RS256"}'

    with pytest.raises(MalformedTokenError):
        verify(forge(signing_key("RS256"), header, PAYLOAD))


LOOKALIKES = {
    "iss": [
        "Iss",
        "ISS",
        "iSs",
        "\u0131ss",
        "i\u017fs",
        "i\u017f\u017f",
        "i\u00df",
        "\uff49\uff53\uff53",
        "\u24d8ss",
        "\u1d62ss",
    ],
    "aud": ["Aud", "AUD", "\uff41ud"],
    "exp": ["EXP", "Exp", "e\uff58p"],
    "sub": ["Sub", "\u017fub"],
    "nbf": ["Nbf"],
    "iat": ["Iat"],
    "jti": ["JTI", "jt\u0131"],
}


@pytest.mark.parametrize("name", [name for names in LOOKALIKES.values() for name in names], ids=ascii)
def test_a_name_that_can_be_mistaken_for_a_registered_one_is_refused(name: str) -> None:
    """V05, T16: another parser may fold it."""
    with pytest.raises(MalformedTokenError):
        verify(token(**{name: "https://evil.example"}))


@pytest.mark.parametrize("name", ["issuer", "i", "is", "sub_", "user", "émile", "é", "名前", "ISSUER", "a" * 200])
def test_an_unknown_claim_is_ignored(name: str) -> None:
    """V14: platforms add claims; none of them breaks anything."""
    verify(token(**{name: "x"}))


def test_a_hostile_claim_name_costs_nothing() -> None:
    """T11: sorting a long run of combining marks takes quadratic time, and this is read before any signature."""
    name = "\u0301" * 5900 + "\u0316" * 5900
    text = ".".join([b64url_encode(json.dumps(HEADER).encode()), b64url_encode(
        json.dumps({"iss": URL, name[:5900] + name[-5000:]: 1}, ensure_ascii=False).encode()), "AAAA"])  # fmt: skip
    start = time.process_time()
    read_unverified(text)

    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"{URL}/", id="slash"),
        pytest.param(URL.upper(), id="case"),
        pytest.param(URL.replace("https", "HTTPS"), id="scheme-case"),
        pytest.param(URL.replace("https", "http"), id="http"),
        pytest.param(URL.removeprefix("https://"), id="no-scheme"),
        pytest.param(f"{URL}:443", id="port"),
        pytest.param(f" {URL}", id="space"),
        pytest.param(f"{URL}\n", id="newline"),
        pytest.param(f"{URL}.", id="root-dot"),
        pytest.param(f"{URL}.evil.example", id="suffix"),
        pytest.param(f"{URL}@evil.example", id="userinfo"),
        pytest.param(f"{URL}/enterprise", id="enterprise"),
        pytest.param(f"{URL}?", id="query"),
        pytest.param(f"{URL}#", id="fragment"),
        pytest.param(URL[:-1], id="shorter"),
        pytest.param(URL.replace("t", "т", 1), id="cyrillic"),
        pytest.param(URL.replace("a", "%61", 1), id="percent"),
    ],
)
def test_an_issuer_is_compared_byte_for_byte(url: str) -> None:
    """V06, S09, T21, T22: nothing is repaired; and the second half fails closed if the caller mixes records up."""
    assert read_unverified(token(iss=url)).unverified_issuer == url
    with pytest.raises(MalformedTokenError):
        verify(token(iss=url))


@pytest.mark.parametrize("value", [DROP, None, "", 0, True, [URL], {"url": URL}, "https://" + "a" * 248], ids=repr)
def test_a_token_names_one_issuer(value: object) -> None:
    """V06, V10."""
    with pytest.raises(MalformedTokenError):
        verify(token(iss=value))


REQUIRED = ["sub", "aud", "exp", "iat", *GITHUB.required_claims]


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [DROP, None, ""], ids=["dropped", "null", "empty"])
def test_a_required_claim_is_there(name: str, value: object) -> None:
    """V10, V14, T41: each of them; an empty text is none."""
    with pytest.raises(ClaimError) as caught:
        verify(token(**{name: value}))

    assert caught.value.claim == name
    assert value is not DROP or type(caught.value) is MissingClaimError


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [True, False, [], ["a"], {}, {"a": 1}, [["https://hub.example.com"]]], ids=repr)
def test_a_required_claim_has_its_type(name: str, value: object) -> None:
    """V10, T14, T15, T82: a boolean is not a number, a list is not a text."""
    with pytest.raises(ClaimError) as caught:
        verify(token(**{name: value}))
    assert caught.value.claim == name


@pytest.mark.parametrize(
    ("value", "good"),
    [(456789, True), ("456789", True), (456789.0, False), (456789.5, False)],
    ids=["integer", "text", "whole-float", "fraction"],
)
def test_an_id_is_a_text_or_an_integer(value: object, good: bool) -> None:
    """V10, M01: a fraction has no canonical decimal."""
    if good:
        verify(token(repository_id=value))
        return

    with pytest.raises(InvalidClaimError):
        verify(token(repository_id=value))


@pytest.mark.parametrize("name", ["nbf", "jti"])
def test_an_optional_claim_may_be_absent(name: str) -> None:
    """V10."""
    verify(token(**{name: DROP}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1795348800", None, True, -1, 2**63 - 1, 253_402_300_800, 1e300, [NOON]], ids=repr)
def test_a_time_of_another_type_or_century_is_refused(name: str, value: object) -> None:
    """V10, T14, T15: never read as absent."""
    with pytest.raises(InvalidClaimError) as caught:
        verify(token(**{name: value}))

    assert caught.value.claim == name


@pytest.mark.parametrize("value", [None, "", 7, True, ["a"], {"a": 1}, "a\nb", "a\0", "a\u202eb", "j" * 513], ids=ascii)
def test_a_jti_is_a_short_printable_text(value: object) -> None:
    """V10, T18: a mistyped one is not the same as none."""
    with pytest.raises(InvalidClaimError) as caught:
        verify(token(jti=value))

    assert caught.value.claim == "jti"


@pytest.mark.parametrize("name", ["sub", "repository", "workflow_ref", "event_name"])
@pytest.mark.parametrize(
    "character", ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b", "\u2066", "\ufeff"],
    ids=ascii,
)  # fmt: skip
def test_control_and_invisible_characters_are_refused(name: str, character: str) -> None:
    """T18: what we store and show must not forge a line or hide a direction mark."""
    with pytest.raises(InvalidClaimError) as caught:
        verify(token(**{name: f"acme{character}/widgets"}))

    assert caught.value.claim == name


@pytest.mark.parametrize("name", ["sub", "repository", "workflow_ref"])
def test_a_claim_that_is_kept_has_a_bound(name: str) -> None:
    """T89: refused, never cut."""
    verify(token(**{name: "a" * 1024}))

    with pytest.raises(InvalidClaimError):
        verify(token(**{name: "a" * 1025}))


# --- audience ---------------------------------------------------------------------------------------------------------


def test_a_list_of_one_audience_is_that_audience() -> None:
    """V13."""
    verify(token(aud=[AUDIENCE]))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"{AUDIENCE}/", id="slash"),
        pytest.param(AUDIENCE.upper(), id="case"),
        pytest.param("https://HUB.example.com", id="host-case"),
        pytest.param(AUDIENCE.replace("https", "http"), id="scheme"),
        pytest.param(AUDIENCE.removeprefix("https://"), id="no-scheme"),
        pytest.param(AUDIENCE[:-1], id="shorter"),
        pytest.param(f"{AUDIENCE}.evil.example", id="longer"),
        pytest.param(f" {AUDIENCE}", id="space"),
        pytest.param(f"{AUDIENCE} https://other.example", id="space-separated"),
        pytest.param(f"{AUDIENCE}:443", id="port"),
        pytest.param("https://github.com/acme", id="githubs-default"),
        pytest.param("sigstore", id="generic-word"),
        pytest.param([AUDIENCE, "https://other.example"], id="two"),
        pytest.param(["https://other.example", AUDIENCE], id="two-swapped"),
        pytest.param([AUDIENCE, AUDIENCE], id="twice"),
        pytest.param(["https://other.example"], id="list-of-another"),
        pytest.param(list(AUDIENCE), id="letters"),
    ],
)
def test_another_audience_is_refused(value: object) -> None:
    """V13, T42, T43, T44: exact, and alone."""
    with pytest.raises(AudienceMismatchError):
        verify(token(aud=value))


def test_several_audiences_are_taken_only_where_the_operator_allows_them() -> None:
    """V13: Bitbucket needs it."""
    issuer = replace(ISSUER, allow_multiple_audiences=True)
    verify(token(aud=["https://other.example", AUDIENCE]), issuer=issuer)

    with pytest.raises(AudienceMismatchError):
        verify(token(aud=["https://other.example", "x"]), issuer=issuer)


@pytest.mark.parametrize("value", [[AUDIENCE, 1], [AUDIENCE, None], [None], {AUDIENCE: 1}, 1, True], ids=repr)
def test_an_audience_of_another_type_is_refused(value: object) -> None:
    """V10, V13: also where several are allowed."""
    with pytest.raises(InvalidClaimError):
        verify(token(aud=value), issuer=replace(ISSUER, allow_multiple_audiences=True))


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        pytest.param(-31, ImmatureTokenError, id="one-second-too-early"),
        pytest.param(-30, None, id="as-early-as-the-leeway-allows"),
        pytest.param(0, None, id="when-issued"),
        pytest.param(300, None, id="at-its-end"),
        pytest.param(329, None, id="inside-the-leeway"),
        pytest.param(329.999, None, id="just-inside-the-leeway"),
        pytest.param(330, ExpiredTokenError, id="leeway-over"),
        pytest.param(331, ExpiredTokenError, id="one-second-too-late"),
    ],
)
def test_a_token_is_good_in_its_time_give_or_take_the_leeway(seconds: float, error: type[Error] | None) -> None:
    """V11."""
    if error is None:
        verify(token(), now=NOON + seconds)
        return

    with pytest.raises(error):
        verify(token(), now=NOON + seconds)


@pytest.mark.parametrize(("seconds", "good"), [(30, True), (31, False)])
def test_a_token_is_not_used_before_its_time(seconds: int, good: bool) -> None:
    """V11: `nbf` alone."""
    text = token(nbf=int(NOON) + seconds)
    if good:
        verify(text)
        return

    with pytest.raises(ImmatureTokenError) as caught:
        verify(text)
    assert caught.value.claim == "nbf"


@pytest.mark.parametrize("lifetime", [1, 300, 900, 0.5])
def test_a_token_may_live_as_long_as_its_issuers_record_says(lifetime: float) -> None:
    """V12."""
    verify(token(exp=NOON + lifetime))


@pytest.mark.parametrize("lifetime", [901, 7200, 10**9, 900.5])
def test_a_token_that_lives_longer_is_refused(lifetime: float) -> None:
    """V12, T51, T54."""
    with pytest.raises(InvalidClaimError) as caught:
        verify(token(exp=NOON + lifetime))

    assert caught.value.claim == "exp"


@pytest.mark.parametrize("lifetime", [0, -1, -20])
def test_a_token_that_ends_before_it_begins_is_refused(lifetime: int) -> None:
    """V12: although the leeway would let it through."""
    with pytest.raises(InvalidClaimError):
        verify(token(exp=int(NOON) + lifetime))


@pytest.mark.parametrize(("age", "good"), [(600, True), (630, True), (631, False)])
def test_a_token_of_a_certain_age_is_refused_although_it_still_lives(age: int, good: bool) -> None:
    """V12, T54: for platforms whose tokens live for hours."""
    issuer = replace(ISSUER, max_age_seconds=600)
    text = token(exp=int(NOON) + 900)
    if good:
        verify(text, issuer=issuer, now=NOON + age)
        return

    with pytest.raises(InvalidClaimError) as caught:
        verify(text, issuer=issuer, now=NOON + age)
    assert caught.value.claim == "iat"


def test_times_with_fractions_are_times() -> None:
    """V10: RFC 7519 section 2 allows them; what we keep are whole seconds."""
    verified = verify(token(iat=NOON + 0.25, nbf=NOON - 0.5, exp=NOON + 300.75))

    assert (verified.issued_at, verified.expires_at) == (int(NOON), int(NOON) + 300)


def test_time_is_checked_after_the_signature() -> None:
    """V09: a stranger's forged token is a forged token, not an expired one."""
    with pytest.raises(InvalidSignatureError):
        verify(token(None, signing_key("RS256", 1), exp=1, aud="x", sub=DROP))


# --- replay key -------------------------------------------------------------------------------------------------------


def test_the_replay_key_is_the_jti_and_nothing_else() -> None:
    """V17: a token with the same `jti` is the same token."""
    first, second = verify(token()), verify(token(sha="other", iat=int(NOON) - 1))

    assert first.replay_key == second.replay_key
    assert len(first.replay_key) == hashlib.sha256().digest_size
    assert verify(token(jti="other")).replay_key != first.replay_key


def test_without_a_jti_the_signing_input_is_the_replay_key() -> None:
    """T49: nobody gets away by leaving it out."""
    first = verify(token(jti=DROP))

    assert first.jti is None
    assert verify(token(jti=DROP)).replay_key == first.replay_key
    assert verify(token(jti=DROP, run_attempt="2")).replay_key != first.replay_key
    assert verify(token({"x5t": "BBBB"}, jti=DROP)).replay_key != first.replay_key


def test_the_second_spelling_of_a_signature_has_the_same_replay_key() -> None:
    """T12: ECDSA signatures are malleable, so the key never covers them."""
    key = signing_key("ES256")
    text = token({"alg": "ES256"}, key, jti=DROP)
    body, _, encoded = text.rpartition(".")
    low = b64url_decode(encoded)
    high = low[:32] + (P256_ORDER - int.from_bytes(low[32:], "big")).to_bytes(32, "big")
    issuer = replace(ISSUER, algorithms=("ES256",))
    spellings = [text, f"{body}.{b64url_encode(high)}"]
    replay_keys = {verify(spelling, issuer=issuer, keys=[key.public_key()]).replay_key for spelling in spellings}

    assert len(set(spellings)) == 2
    assert len(replay_keys) == 1


def test_a_jti_cannot_imitate_the_replay_key_of_a_token_without_one() -> None:
    """T49: the two kinds of key are told apart before they are hashed."""
    body = token(jti=DROP).rpartition(".")[0]

    with pytest.raises(InvalidClaimError):
        verify(token(jti=body))
    assert verify(token(jti=body[:500])).replay_key != verify(token(jti=DROP)).replay_key
