"""The fake issuer signs with real keys, and fails in the ways it is told to."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from keyless.jose.signing import SigningKey
from keyless.testing import DROP, Clock, FakeIssuer, Fault, github_claims, unverified_claims


def get(url: str, timeout: float = 5) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Fetch without following redirects."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def published(issuer: FakeIssuer) -> KeySet:
    """Read the key set over HTTP, the way a relying party does."""
    _, _, discovery = get(f"{issuer.url}/.well-known/openid-configuration")
    _, _, keys = get(json.loads(discovery)["jwks_uri"])
    return KeySet.import_key_set(json.loads(keys))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_minted_token_verifies_with_another_library(algorithm: str) -> None:
    """S3: what the issuer signs is a JWT for whoever reads its published keys."""
    with FakeIssuer(algorithm=algorithm) as issuer:
        token = jwt.decode(issuer.mint(github_claims(), aud="https://hub"), published(issuer), algorithms=[algorithm])

    assert token.claims["iss"] == issuer.url
    assert token.claims["aud"] == "https://hub"


def test_a_token_is_as_large_as_githubs_and_every_mint_is_new() -> None:
    """V17: `jti` is unique per mint, so a replay rule can be tested."""
    issuer = FakeIssuer()
    issuer.close()
    first, second = (issuer.mint(github_claims(), aud="x") for _ in range(2))

    assert len(first) >= 1500
    assert first != second


def test_times_come_from_the_clock_and_nbf_lies_before_iat() -> None:
    """V12: a test decides what time the token says."""
    clock = Clock(1_000_000.0)
    issuer = FakeIssuer(clock=clock)
    issuer.close()
    clock.advance(10)
    claims = unverified_claims(issuer.mint({}, lifetime_seconds=60))

    assert (claims["iat"], claims["exp"], claims["nbf"]) == (1_000_010, 1_000_070, 999_410)


def test_a_dropped_claim_is_absent() -> None:
    """V10: a token without `jti` or `exp` can be made."""
    issuer = FakeIssuer()
    issuer.close()
    claims = unverified_claims(issuer.mint({}, jti=DROP, exp=DROP))

    assert {"iss", "iat", "nbf"} == set(claims)


def test_rotation_keeps_old_keys_until_they_are_withdrawn() -> None:
    """K04: the relying party meets a new `kid` first, and a missing one later."""
    with FakeIssuer() as issuer:
        old = issuer.key.kid
        new = issuer.rotate().kid
        both = {key.kid for key in published(issuer).keys}
        issuer.withdraw(old)
        one = {key.kid for key in published(issuer).keys}

    assert ({old, new}, {new}) == (both, one)


def test_withdrawing_an_unknown_key_is_a_mistake() -> None:
    """A test that withdraws a key which was never there tests nothing."""
    issuer = FakeIssuer()
    issuer.close()

    with pytest.raises(KeyError):
        issuer.withdraw("nobody")


def test_another_issuers_key_can_sign_in_its_name() -> None:
    """V08: a forger's token names the right `kid` and carries the wrong signature."""
    with FakeIssuer() as issuer:
        forger = SigningKey.generate("RS256", kid=issuer.key.kid)
        forged = issuer.mint(github_claims(), key=forger, aud="x")

        with pytest.raises(Exception, match="bad_signature"):
            jwt.decode(forged, published(issuer), algorithms=["RS256"])


def test_fetches_are_counted() -> None:
    """K01: a cache is proved by what the issuer saw."""
    with FakeIssuer() as issuer:
        published(issuer)
        published(issuer)

    assert issuer.fetches == {"discovery": 2, "jwks": 2}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.BAD_REQUEST, 400),
        (Fault.UNAUTHORIZED, 401),
        (Fault.FORBIDDEN, 403),
        (Fault.NOT_FOUND, 404),
        (Fault.RATE_LIMITED, 429),
        (Fault.SERVER_ERROR, 500),
        (Fault.UNAVAILABLE, 503),
        (Fault.REDIRECT, 302),
        (Fault.HTML, 200),
        (Fault.EMPTY, 200),
        (Fault.MALFORMED_JSON, 200),
        (Fault.JSON_ARRAY, 200),
    ],
)
def test_a_fault_answers_with_its_status_and_no_key(fault: Fault, status: int) -> None:
    """K09: what an outage looks like."""
    with FakeIssuer() as issuer:
        issuer.misbehave(fault)
        answered, headers, body = get(issuer.jwks_uri)

    assert answered == status
    assert issuer.key.kid.encode() not in body
    assert (headers["Location"] is not None) == (fault is Fault.REDIRECT)


def test_an_oversize_answer_is_ten_megabytes() -> None:
    """S06: a reader without a cap would take it all."""
    with FakeIssuer() as issuer:
        issuer.misbehave(Fault.OVERSIZE)

        assert len(get(issuer.jwks_uri)[2]) == 10_000_000


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.DRIP])
def test_a_slow_answer_outlasts_a_reader_with_a_deadline(fault: Fault) -> None:
    """T28: neither silence nor a drip ends by itself; closing the issuer ends both."""
    with FakeIssuer() as issuer:
        issuer.misbehave(fault)
        connection = socket.create_connection(("127.0.0.1", urlsplit(issuer.url).port or 0), timeout=0.3)
        with connection:
            connection.sendall(b"GET /.well-known/jwks HTTP/1.1\r\nHost: x\r\n\r\n")
            seen = b""
            try:
                while b"}" not in seen:
                    chunk = connection.recv(1)
                    seen += chunk
                    if not chunk or seen.endswith(b"\r\n\r\n   "):
                        break
            except TimeoutError:
                pass

    assert b"keys" not in seen


def test_a_reset_is_a_reset() -> None:
    """S6: the peer vanishes with RST, not with a clean end."""
    with FakeIssuer() as issuer:
        issuer.misbehave(Fault.RESET)

        with pytest.raises(ConnectionError):
            get(issuer.jwks_uri)


def test_a_fault_can_be_limited_to_one_document_and_taken_back() -> None:
    """K02: discovery works while the keys fail, and both do again."""
    with FakeIssuer() as issuer:
        issuer.misbehave(Fault.SERVER_ERROR, on=["jwks"])
        discovery = get(f"{issuer.url}/.well-known/openid-configuration")[0]
        keys = get(issuer.jwks_uri)[0]
        issuer.behave()

        assert (200, 500, 200) == (discovery, keys, get(issuer.jwks_uri)[0])


@pytest.mark.parametrize(
    ("mode", "document", "member", "expected"),
    [
        ("wrong_issuer", "discovery", "issuer", "{url}/other"),
        ("missing_jwks_uri", "discovery", "jwks_uri", None),
        ("foreign_jwks_uri", "discovery", "jwks_uri", "https://keys.example.com/jwks"),
    ],
)
def test_discovery_lies_on_request(mode: str, document: str, member: str, expected: str | None) -> None:
    """K03: a document that names another issuer, no keys, or another host's keys."""
    with FakeIssuer() as issuer:
        issuer.misbehave(mode)
        answer = json.loads(get(f"{issuer.url}/.well-known/openid-configuration")[2])

    assert document == "discovery"
    assert answer.get(member) == (expected and expected.format(url=issuer.url))


@pytest.mark.parametrize(
    ("mode", "kids"),
    [
        ("empty_keys", []),
        ("duplicate_kid", ["{kid}", "{kid}"]),
        ("odd_keys", ["odd-1", "odd-2", None, "odd-3", "{kid}"]),
        ("symmetric_key", ["{kid}"]),
    ],
)
def test_the_key_set_is_odd_on_request(mode: str, kids: list[str | None]) -> None:
    """K06: sets that a careful reader survives."""
    with FakeIssuer() as issuer:
        issuer.misbehave(mode)
        answer = json.loads(get(issuer.jwks_uri)[2])

    assert [key.get("kid") for key in answer["keys"]] == [kid and kid.format(kid=issuer.key.kid) for kid in kids]


def test_an_unknown_mode_is_a_mistake() -> None:
    """A misspelt fault must not pass as a well-behaved issuer."""
    issuer = FakeIssuer()
    issuer.close()

    with pytest.raises(ValueError, match="no_such_mode"):
        issuer.misbehave("no_such_mode")
