from __future__ import annotations

from typing import Any

import pytest

from keyless.errors import (
    AudienceMismatchError,
    ConfigurationError,
    Error,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidSignatureError,
    RevokedTokenError,
    TransportError,
    UnavailableError,
    UnknownKeyError,
)
from keyless.resource import parse_resource
from keyless.secret import Secret
from keyless.verifier import Introspection, VerifiedAccessToken, Verifier
from keyless.verifier.keys import FRESH_SECONDS, KeyCache
from tests.verifier.endpoint import Endpoint
from tests.verifier.test_introspection import active
from tests.verifier.tokens import AUDIENCE, ISSUER, NOW, RESOURCE, Mint


class LiveState:
    """The service's live answer: whatever the test sets, counted."""

    def __init__(self) -> None:
        self.failure: Error | None = None
        self.questions = 0

    def check(self, token: str, verified: VerifiedAccessToken) -> VerifiedAccessToken:
        self.questions += 1
        if self.failure is not None:
            raise self.failure
        return verified

    def close(self) -> None:
        pass


@pytest.fixture
def live() -> LiveState:
    return LiveState()


def make(mint: Mint, **overrides: Any) -> Verifier:
    arguments: dict[str, Any] = {"fetch": lambda _url: mint.jwks, "clock": lambda: NOW, **overrides}
    return Verifier(ISSUER, AUDIENCE, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"unsafe_offline": False}, {"introspection": LiveState(), "unsafe_offline": True}],
    ids=["nothing", "off", "both"],
)
def test_live_check_must_be_chosen_or_refused_by_name(arguments: dict[str, Any]) -> None:
    """D5: nobody gets an offline verifier without writing `unsafe_offline`."""
    with pytest.raises(ConfigurationError):
        Verifier(ISSUER, AUDIENCE, **arguments)


@pytest.mark.parametrize("issuer, audience", [("", AUDIENCE), (f"{ISSUER}/", AUDIENCE), (ISSUER, "")])
def test_issuer_and_audience_are_needed(issuer: str, audience: str, live: LiveState) -> None:
    """V10: an empty name would match what is missing."""
    with pytest.raises(ConfigurationError):
        Verifier(issuer, audience, introspection=live)


def test_revocation_counts_at_the_next_request(mint: Mint, live: LiveState) -> None:
    """D5, V20: the live answer is never remembered, the signature may be."""
    verifier, token = make(mint, introspection=live), mint.token()
    verifier.verify(token)
    live.failure = RevokedTokenError("withdrawn")

    with pytest.raises(RevokedTokenError):
        verifier.verify(token)
    assert live.questions == 2


def test_revocation_over_http(mint: Mint, endpoint: Endpoint) -> None:
    """D5: the same through a real endpoint."""
    endpoint.answer(active())
    introspection = Introspection(f"{endpoint.url}/oauth/introspect", "hub", Secret("c" * 40))
    with make(mint, introspection=introspection) as verifier:
        token = mint.token()
        assert verifier.verify(token).resource == RESOURCE
        endpoint.answer({"active": False})

        with pytest.raises(RevokedTokenError):
            verifier.verify(token)


def test_outage_of_the_live_check_is_neither_pass_nor_refusal(mint: Mint, live: LiveState) -> None:
    """D9: a hub answers 503, not 401, and certainly not 200."""
    verifier = make(mint, introspection=live)
    live.failure = UnavailableError("down")

    with pytest.raises(UnavailableError):
        verifier.verify(mint.token())


def test_forged_token_is_never_sent_to_the_service(mint: Mint, live: LiveState) -> None:
    """D5, T106: the signature is checked first, so nobody can fish by asking us."""
    verifier = make(mint, introspection=live)

    with pytest.raises(InvalidSignatureError):
        verifier.verify(Mint().token(header={"kid": mint.key.kid}))
    assert live.questions == 0


def test_expiry_is_checked_on_remembered_tokens(mint: Mint, live: LiveState) -> None:
    """V11: remembering a signature does not make a token live longer."""
    now = NOW
    verifier, token = make(mint, introspection=live, clock=lambda: now), mint.token()
    verifier.verify(token)
    now = NOW + 3600

    with pytest.raises(ExpiredTokenError):
        verifier.verify(token)


def test_other_spelling_of_a_remembered_token_is_still_refused(mint: Mint, live: LiveState) -> None:
    """T12: what is remembered is the exact text."""
    verifier, token = make(mint, introspection=live), mint.token()
    verifier.verify(token)

    with pytest.raises(Error):
        verifier.verify(token + "=")


def test_withdrawn_key_ends_remembered_tokens(mint: Mint, live: LiveState, monkeypatch: pytest.MonkeyPatch) -> None:
    """K15: a key the service took back signs nothing any more, remembered or not."""
    now = 0.0
    served = mint.jwks
    verifier, token = make(mint, introspection=live), mint.token()
    cache = KeyCache("https://keyless.example.org/oauth/jwks", lambda _url: served, monotonic=lambda: now)
    monkeypatch.setattr(verifier, "_keys", cache)
    verifier.verify(token)
    now, served = FRESH_SECONDS + 1, Mint().jwks

    with pytest.raises(UnknownKeyError):
        verifier.verify(token)


def test_memory_is_bounded(mint: Mint, live: LiveState, monkeypatch: pytest.MonkeyPatch) -> None:
    """T117: a publisher with very many tokens costs a verifier a bounded amount."""
    monkeypatch.setattr("keyless.verifier.proven.MAX_REMEMBERED", 3)
    verifier = make(mint, introspection=live)
    for number in range(10):
        verifier.verify(mint.token(jti=f"jti-{number}"))

    assert len(verifier._proven.by_token) == 3


def test_keys_come_from_the_issuers_own_address(mint: Mint, live: LiveState) -> None:
    """T05: nothing in a token says where keys are."""
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return mint.jwks

    make(mint, introspection=live, fetch=fetch).verify(mint.token())

    assert asked == [f"{ISSUER}/oauth/jwks"]


def test_keys_are_fetched_over_http_by_default(mint: Mint, endpoint: Endpoint, live: LiveState) -> None:
    """D5: without a fetcher of one's own it works over HTTP."""
    endpoint.body = mint.jwks
    verifier = Verifier(endpoint.url, AUDIENCE, introspection=live, clock=lambda: NOW)

    assert verifier.verify(mint.token(iss=endpoint.url)).issuer == endpoint.url
    assert endpoint.asked == [{"path": "/oauth/jwks"}]


@pytest.mark.parametrize("status", [404, 500, 503])
def test_key_address_that_fails_is_an_outage(mint: Mint, endpoint: Endpoint, live: LiveState, status: int) -> None:
    """D9, K06: no keys, no refusal."""
    endpoint.status, endpoint.body = status, mint.jwks
    verifier = Verifier(endpoint.url, AUDIENCE, introspection=live, clock=lambda: NOW)

    with pytest.raises(UnavailableError):
        verifier.verify(mint.token(iss=endpoint.url))


def test_service_that_is_down_is_an_outage(mint: Mint, live: LiveState) -> None:
    """D9: with a fetcher that raises."""

    def fetch(_url: str) -> bytes:
        raise TransportError("down", retryable=True)

    with pytest.raises(UnavailableError):
        make(mint, introspection=live, fetch=fetch).verify(mint.token())


def test_offline_verifier_says_so(mint: Mint, caplog: pytest.LogCaptureFixture) -> None:
    """D5: it works, and it is not silent about what it gives up."""
    verifier = make(mint, unsafe_offline=True)

    assert verifier.verify(mint.token()).publisher_id == "pub-1"
    assert "offline" in caplog.text


def test_token_of_another_resource_server_is_refused(mint: Mint, live: LiveState) -> None:
    """V10: a registry's token is nothing to a hub."""
    with pytest.raises(AudienceMismatchError):
        make(mint, introspection=live).verify(mint.token(aud="https://registry.example.org"))


@pytest.mark.parametrize(
    "operation, resource",
    [("create", "acme/model"), ("write", "acme/other"), ("write", "datasets/acme/model"), ("write", "acme")],
)
def test_authorize_refuses_what_the_token_is_not_for(
    mint: Mint, live: LiveState, operation: str, resource: str
) -> None:
    """V20, T90, T98: one resource, its operations, nothing else; told apart from a bad token."""
    with pytest.raises(InsufficientScopeError):
        make(mint, introspection=live).authorize(mint.token(), operation, parse_resource(resource))


def test_authorize_returns_the_token(mint: Mint, live: LiveState) -> None:
    """V20: the good case."""
    assert make(mint, introspection=live).authorize(mint.token(), "write", RESOURCE).jti == "jti-1"
