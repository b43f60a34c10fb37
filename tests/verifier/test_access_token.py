from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jws

from keyless.errors import (
    AudienceMismatchError,
    ClaimError,
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    MissingClaimError,
    TokenError,
    UnknownKeyError,
)
from keyless.jose.algorithms import P256_ORDER
from keyless.jose.compact import b64url_decode, b64url_encode
from keyless.jose.jwk import KeySet
from keyless.jose.signing import SigningKey
from keyless.resource import Resource, ResourceType
from keyless.verifier.access_token import (
    _WRITTEN,
    VerifiedAccessToken,
    _read_claims,
    _read_json_claims,
    access_token_claims,
    read_access_token,
)
from tests.verifier.tokens import AUDIENCE, ISSUER, NOW, RESOURCE, Mint

OTHER = Mint()
_shared = Mint()


def _with_signature(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{b64url_encode(signature)}"


def _second_spelling(token: str) -> str:
    raw = b64url_decode(token.rpartition(".")[2])
    high = P256_ORDER - int.from_bytes(raw[32:], "big")
    return _with_signature(token, raw[:32] + high.to_bytes(32, "big"))


def test_good_token_says_who_may_do_what(mint: Mint) -> None:
    """D5: a verified token carries publisher, resource, operations and the CI job."""
    verified = mint.verify(mint.token())

    assert Resource(ResourceType.MODEL, "acme", "model") == verified.resource
    assert frozenset({"read", "write"}) == verified.operations
    assert ("pub-1", "urn:keyless:publisher:pub-1") == (verified.publisher_id, verified.subject)
    assert ("https://ci.example.org", "repo:acme/train:ref:refs/heads/main") == (
        verified.ci_issuer,
        verified.ci_subject,
    )
    assert ("jti-1", NOW, NOW + 3600) == (verified.jti, verified.issued_at, verified.expires_at)


def test_joserfc_accepts_what_we_sign(mint: Mint) -> None:
    """D1, D5: an independent library verifies the same bytes under the same published key."""
    key = joserfc_jwk.import_key(json.loads(mint.jwks)["keys"][0])

    theirs = jws.deserialize_compact(mint.token().removeprefix("kl_"), key, algorithms=["ES256"])

    assert json.loads(theirs.payload) == mint.claims()
    assert theirs.headers() == {"alg": "ES256", "kid": mint.key.kid, "typ": "at+jwt"}


def test_joserfc_signed_token_is_accepted_once_its_s_is_low(mint: Mint) -> None:
    """D6: a token signed elsewhere with our key verifies here if it has the one spelling, and only then."""
    private = joserfc_jwk.import_key(mint.key.to_pkcs8(), "EC")
    header = {"alg": "ES256", "kid": mint.key.kid, "typ": "at+jwt"}
    token = "kl_" + jws.serialize_compact(header, json.dumps(mint.claims()), private, algorithms=["ES256"])
    spellings = {token, _second_spelling(token)}

    accepted = [spelling for spelling in spellings if _accepts(mint, spelling)]

    assert len(accepted) == 1


def _accepts(mint: Mint, token: str) -> bool:
    try:
        mint.verify(token)
    except TokenError:
        return False
    return True


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_altered_character_is_refused(mint: Mint, segment: int, place: str) -> None:
    """V02, V09: one other character anywhere ends the token."""
    prefix, body = "kl_", mint.token().removeprefix("kl_")
    parts = body.split(".")
    at = {"first": 0, "middle": len(parts[segment]) // 2, "last": len(parts[segment]) - 1}[place]
    was = parts[segment][at]
    parts[segment] = parts[segment][:at] + ("A" if was != "A" else "B") + parts[segment][at + 1 :]

    with pytest.raises(TokenError):
        mint.verify(prefix + ".".join(parts))


_token = _shared.token()


@given(at=st.integers(0, len(_token) - 1), byte=st.characters(max_codepoint=255))
def test_any_other_character_at_any_place_is_refused(at: int, byte: str) -> None:
    """V02, V09: as a property, over every place and every Latin-1 character."""
    changed = _token[:at] + byte + _token[at + 1 :]
    if changed == _token:
        return

    with pytest.raises(TokenError):
        _shared.verify(changed)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    """T11, T18: what an outsider sends ends in a `TokenError`, never in another exception."""
    with pytest.raises(TokenError):
        _shared.verify("kl_" + text)


def test_second_ecdsa_spelling_is_refused(mint: Mint) -> None:
    """D6, T12: (r, n - s) verifies as well, and is not accepted."""
    token = mint.token()
    spelled = _second_spelling(token)
    key = joserfc_jwk.import_key(json.loads(mint.jwks)["keys"][0])
    jws.deserialize_compact(spelled.removeprefix("kl_"), key, algorithms=["ES256"])  # mathematically it is good

    with pytest.raises(InvalidSignatureError):
        mint.verify(spelled)


@pytest.mark.parametrize(
    "signature",
    [b"\0" * 64, b"\0" * 32 + b"\1" * 32, b"\1" * 63, b"\1" * 65, b"0", P256_ORDER.to_bytes(32, "big") * 2],
    ids=["zero", "zero-r", "short", "long", "one-byte", "order"],
)
def test_degenerate_signature_is_refused(mint: Mint, signature: bytes) -> None:
    """T13: CVE-2022-21449 and its relatives."""
    with pytest.raises(InvalidSignatureError):
        mint.verify(_with_signature(mint.token(), signature))


def test_der_signature_is_refused(mint: Mint) -> None:
    """V02: the other encoding of the same signature is another spelling."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    token = mint.token()
    raw = b64url_decode(token.rpartition(".")[2])
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    with pytest.raises(InvalidSignatureError):
        mint.verify(_with_signature(token, der))


_SHAPES = {
    "no-prefix": lambda token: token.removeprefix("kl_"),
    "doubled-prefix": lambda token: "kl_" + token,
    "other-prefix": lambda token: "hf_jwt_" + token.removeprefix("kl_"),
    "upper-prefix": lambda token: "KL_" + token.removeprefix("kl_"),
    "space-before": lambda token: " " + token,
    "newline-after": lambda token: token + "\n",
    "space-after-prefix": lambda token: token.replace("kl_", "kl_ "),
    "padding": lambda token: token + "=",
    "padded-payload": lambda token: ".".join(part + "==" * (at == 1) for at, part in enumerate(token.split("."))),
    "fourth-segment": lambda token: token + ".AAAA",
    "five-segments": lambda token: token + ".AAAA.AAAA",
    "no-signature": lambda token: token.rpartition(".")[0],
    "empty-signature": lambda token: token.rpartition(".")[0] + ".",
    "empty": lambda _: "",
    "prefix-alone": lambda _: "kl_",
    "dots": lambda _: "kl_" + "." * 5000,
    "huge": lambda token: token + "A" * 100_000,
    "standard-alphabet": lambda token: token.replace("-", "+").replace("_", "/").replace("kl/", "kl_"),
    "fullwidth": lambda token: token.replace("e", "\uff45"),
    "lone-surrogate": lambda token: token[:-1] + "\udc80",
}


@pytest.mark.parametrize("change", _SHAPES.values(), ids=_SHAPES.keys())
def test_other_shape_is_refused(mint: Mint, change: Any) -> None:
    """V02, D6, T11, T12: one token has exactly one spelling."""
    token = next(token for token in iter(mint.token, "") if "-" in token[3:] and "_" in token[3:])

    with pytest.raises(TokenError):
        mint.verify(change(token))


def test_unused_bits_of_the_last_character_must_be_zero(mint: Mint) -> None:
    """T12: 64 signature bytes leave four unused bits, which would give sixteen spellings."""
    token = mint.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]

    with pytest.raises(MalformedTokenError):
        mint.verify(sibling)


def test_prefix_that_is_in_use_but_was_not_signed_is_refused(mint: Mint) -> None:
    """D6: with two prefixes in use a token still has one spelling."""
    in_use = ("kl_", "hf_jwt_", "hf_oauth_")
    token = mint.token(prefix="hf_jwt_")
    mint.verify(token, prefixes=in_use)

    with pytest.raises(InvalidClaimError):
        mint.verify(token.replace("hf_jwt_", "hf_oauth_"), prefixes=in_use)
    with pytest.raises(InvalidClaimError):
        mint.verify(mint.token(prefix="kl_").replace("kl_", "hf_jwt_", 1), prefixes=in_use)


_HEADERS: dict[str, dict[str, object]] = {
    "none": {"alg": "none"},
    "None": {"alg": "None"},
    "lower-case": {"alg": "es256"},
    "hmac": {"alg": "HS256"},
    "other-curve": {"alg": "ES384"},
    "rsa": {"alg": "RS256"},
    "no-alg": {"alg": None},
    "id-token-typ": {"typ": "JWT"},
    "no-typ": {"typ": None},
    "long-typ": {"typ": "application/at+jwt"},
    "upper-typ": {"typ": "AT+JWT"},
    "no-kid": {"kid": None},
    "empty-kid": {"kid": ""},
    "number-kid": {"kid": 1},
    "control-kid": {"kid": "a\nb"},
    "long-kid": {"kid": "k" * 5000},
    "jwk": {"jwk": OTHER.key.public_jwk()},
    "jku": {"jku": "https://evil.example/jwks"},
    "x5u": {"x5u": "https://evil.example/cert"},
    "crit": {"crit": ["exp"]},
    "b64": {"b64": False},
    "zip": {"zip": "DEF"},
}


@pytest.mark.parametrize("header", _HEADERS.values(), ids=_HEADERS.keys())
def test_other_header_is_refused_though_the_signature_covers_it(mint: Mint, header: dict[str, object]) -> None:
    """V03, V04, V07, T01-T08, T10, T17: the header asks for nothing but what we do."""
    with pytest.raises(TokenError):
        mint.verify(mint.token(header=header))


def test_hmac_with_the_public_key_as_secret_is_refused(mint: Mint) -> None:
    """T02: the classic confusion, with a correct HMAC over the token."""
    secret = mint.key.material.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = b64url_encode(json.dumps({"alg": "HS256", "kid": mint.key.kid, "typ": "at+jwt"}).encode())
    signing_input = f"{header}.{b64url_encode(json.dumps(mint.claims()).encode())}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signing_input.encode())

    with pytest.raises(InvalidSignatureError):
        mint.verify(f"kl_{signing_input}.{b64url_encode(mac.finalize())}")


def test_unknown_key_is_refused(mint: Mint) -> None:
    """V07: a correct signature of somebody else."""
    with pytest.raises(UnknownKeyError):
        mint.verify(OTHER.token())


def test_other_key_under_a_known_id_is_refused(mint: Mint) -> None:
    """V09: the id alone proves nothing."""
    with pytest.raises(InvalidSignatureError):
        mint.verify(OTHER.token(header={"kid": mint.key.kid}))


def test_key_of_another_algorithm_under_the_id_is_refused(mint: Mint) -> None:
    """T03: the key must fit ES256, whatever the set says about it."""
    rsa = SigningKey.generate("RS256", kid=mint.key.kid)

    with pytest.raises(TokenError):
        mint.verify(mint.token(), keys=KeySet.of([rsa.public_key()]))


def test_duplicate_names_are_refused_under_a_good_signature(mint: Mint) -> None:
    """T09: two parsers must not read two tokens out of one."""
    payload = json.dumps(mint.claims())[:-1] + ', "resource": "models/acme/other"}'
    header = json.dumps({"alg": "ES256", "kid": mint.key.kid, "typ": "at+jwt"})
    signing_input = f"{b64url_encode(header.encode())}.{b64url_encode(payload.encode())}"
    from keyless.jose.algorithms import sign

    token = f"kl_{signing_input}.{b64url_encode(sign('ES256', mint.key.material, signing_input.encode()))}"

    with pytest.raises(MalformedTokenError):
        mint.verify(token)


_CLAIMS: dict[str, tuple[dict[str, Any], type[ClaimError]]] = {
    "other-issuer": ({"iss": "https://other.example.org"}, InvalidClaimError),
    "issuer-with-slash": ({"iss": "https://keyless.example.org/"}, InvalidClaimError),
    "no-issuer": ({"iss": None}, MissingClaimError),
    "other-audience": ({"aud": "https://registry.example.org"}, AudienceMismatchError),
    "audience-list": ({"aud": [AUDIENCE]}, InvalidClaimError),
    "two-audiences": ({"aud": [AUDIENCE, "x"]}, InvalidClaimError),
    "no-audience": ({"aud": None}, MissingClaimError),
    "expired": ({"iat": NOW - 3600, "exp": NOW}, ExpiredTokenError),
    "text-exp": ({"exp": str(NOW + 60)}, InvalidClaimError),
    "no-exp": ({"exp": None}, MissingClaimError),
    "bool-exp": ({"exp": True}, InvalidClaimError),
    "float-exp": ({"exp": NOW + 60.5}, InvalidClaimError),
    "negative-iat": ({"iat": -1}, InvalidClaimError),
    "no-iat": ({"iat": None}, MissingClaimError),
    "from-the-future": ({"iat": NOW + 61, "exp": NOW + 120}, ImmatureTokenError),
    "too-long-a-life": ({"exp": NOW + 3601}, InvalidClaimError),
    "ends-before-it-begins": ({"iat": NOW + 10, "exp": NOW + 5}, InvalidClaimError),
    "no-jti": ({"jti": None}, MissingClaimError),
    "no-publisher": ({"client_id": None}, MissingClaimError),
    "subject-is-not-the-publisher": ({"sub": "urn:keyless:publisher:pub-2"}, InvalidClaimError),
    "foreign-resource": ({"resource": "../../etc"}, InvalidClaimError),
    "no-resource": ({"resource": None}, MissingClaimError),
    "no-scope": ({"scope": None}, MissingClaimError),
    "unknown-operation": ({"scope": "read admin"}, InvalidClaimError),
    "scope-list": ({"scope": ["read"]}, InvalidClaimError),
    "no-ci-issuer": ({"ci_iss": None}, MissingClaimError),
    "no-ci-subject": ({"ci_sub": None}, MissingClaimError),
}


@pytest.mark.parametrize("overrides, expected", _CLAIMS.values(), ids=_CLAIMS.keys())
def test_other_claim_is_refused_though_the_signature_covers_it(
    mint: Mint, overrides: dict[str, Any], expected: type[ClaimError]
) -> None:
    """V10, V11, V20, T14, T15: every claim is needed, typed and as we write it."""
    with pytest.raises(expected):
        mint.verify(mint.token(**overrides))


def test_token_is_good_until_the_second_it_ends(mint: Mint) -> None:
    """V11: no leeway at the end; the service and its verifiers agree on it."""
    token = mint.token()
    mint.verify(token, now=NOW + 3599.9)

    with pytest.raises(ExpiredTokenError):
        mint.verify(token, now=NOW + 3600)


def test_the_service_itself_may_leave_the_audience_open(mint: Mint) -> None:
    """D5: revocation must work for tokens of every resource server."""
    assert mint.verify(mint.token(aud="https://other"), audience=None).audience == "https://other"


def test_verified_token_cannot_be_made_by_hand(mint: Mint) -> None:
    """Style 4.3: the type proves the check, so nobody else can construct, change or widen one."""
    verified = mint.verify(mint.token())

    with pytest.raises(TypeError):
        VerifiedAccessToken(*verified)
    with pytest.raises(TypeError):
        VerifiedAccessToken(**verified._asdict())
    with pytest.raises(TypeError):
        VerifiedAccessToken._make(verified)
    with pytest.raises(TypeError):
        verified._replace(operations=frozenset({"create"}))
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(verified))
    with pytest.raises(AttributeError):
        verified.resource = RESOURCE  # type: ignore[misc]
    assert copy.copy(verified) is verified
    assert copy.deepcopy(verified) is verified


def test_narrowing_never_widens(mint: Mint) -> None:
    """T106: what a live check grants can only be taken away from."""
    verified = mint.verify(mint.token(scope="read write"))

    assert verified.narrowed_to(["write", "create"]).operations == {"write"}


def test_key_id_is_read_without_believing_anything(mint: Mint) -> None:
    """V07: the id chooses a key; a token of the wrong shape chooses none."""
    assert read_access_token(mint.token(), ("kl_",)).kid == mint.key.kid
    with pytest.raises(MalformedTokenError):
        read_access_token("nonsense", ("kl_",))


_plain = st.text(st.sampled_from("abcXYZ09:/.-_ ,{}"), min_size=1, max_size=12)
_texts = _plain | st.text(st.characters(min_codepoint=1, max_codepoint=300) | st.sampled_from('"\\'), max_size=4)


@pytest.mark.hypothesis
@given(st.lists(_texts, min_size=9, max_size=9), st.integers(-5, 10**13), st.integers(-5, 10**13), st.booleans())
def test_quick_reading_means_what_json_means(texts: list[str], iat: int, exp: int, escaped: bool) -> None:
    """V05: what is read without the JSON parser has the same meaning for it, whatever the texts hold."""
    written = [json.dumps(text)[1:-1] if escaped else text for text in texts]
    iss, aud, publisher, jti, resource, scope, ci_iss, ci_sub, prefix = written
    payload = (
        f'{{"iss":"{iss}","aud":"{aud}","sub":"urn:keyless:publisher:{publisher}","client_id":"{publisher}",'
        f'"jti":"{jti}","iat":{iat},"exp":{exp},"resource":"{resource}","scope":"{scope}","ci_iss":"{ci_iss}",'
        f'"ci_sub":"{ci_sub}","prefix":"{prefix}"}}'
    )

    if _WRITTEN(payload):
        assert _read_claims(payload.encode()) == _read_json_claims(payload.encode())


@pytest.mark.hypothesis
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_claims_are_read_back(subject: str, jti: str) -> None:
    """V05: through either reading, whatever letters the CI platform uses."""
    claims = access_token_claims(
        issuer=ISSUER, audience=AUDIENCE, publisher_id="pub-1", jti=jti, issued_at=NOW, expires_at=NOW + 60,
        resource=RESOURCE, operations=["read"], ci_issuer="https://ci.example.org", ci_subject=subject, prefix="kl_",
    )  # fmt: skip
    payload = json.dumps(claims, separators=(",", ":")).encode()

    read = _read_claims(payload)
    assert read == _read_json_claims(payload)
    assert (read[3], read[9]) == (jti, subject)


def test_what_we_sign_is_read_the_quick_way(mint: Mint) -> None:
    """The quick reading is of no use when it is of something that nobody writes."""
    payload = read_access_token(mint.token(), ("kl_",)).payload

    assert _WRITTEN(payload.decode())


def test_refusals_do_not_quote_the_token(mint: Mint) -> None:
    """S8: an error may end up in a log."""
    token = mint.token(aud="https://other")

    with pytest.raises(TokenError) as caught:
        mint.verify(token)

    assert token.rpartition(".")[2] not in repr(caught.value) + str(caught.value)
