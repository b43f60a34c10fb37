"""A look at a handed-over token before it is sent."""

from __future__ import annotations

import base64
import json

import pytest

from keyless.errors import AudienceError, Error, MintError
from keyless.providers.unverified import check_audience
from tests.support.job import make_id_token

AUDIENCE = "https://hub.example.org"


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
def test_a_token_for_the_endpoint_passes(audience: object) -> None:
    """providers.md 1.3: `aud` may be a string or a list."""
    check_audience(make_id_token(audience), AUDIENCE, source="X")


@pytest.mark.parametrize("audience", ["other", AUDIENCE + "/", [], ["other"], None, 5, {AUDIENCE: 1}])
def test_a_token_for_somebody_else_is_reported(audience: object) -> None:
    """design.md 5: a wrong audience is an error before anything is sent."""
    with pytest.raises(AudienceError, match="nothing was sent") as caught:
        check_audience(make_id_token(audience), AUDIENCE, source="HF_OIDC_ID_TOKEN", hint="do this")

    assert "HF_OIDC_ID_TOKEN" in caught.value.message
    assert AUDIENCE in caught.value.message
    assert caught.value.hint == "do this"


@pytest.mark.parametrize("age_seconds", [301, 100_000])
def test_a_token_that_clearly_expired_is_reported(age_seconds: float) -> None:
    """More than five minutes is no clock's fault."""
    with pytest.raises(MintError, match="expired"):
        check_audience(make_id_token(AUDIENCE, lifetime_seconds=-age_seconds), AUDIENCE, source="X")


@pytest.mark.parametrize("lifetime_seconds", [-200, 0, 300])
def test_a_token_that_may_be_good_is_left_to_the_server(lifetime_seconds: float) -> None:
    """The server decides; our clock may be the wrong one."""
    check_audience(make_id_token(AUDIENCE, lifetime_seconds=lifetime_seconds), AUDIENCE, source="X")


@pytest.mark.parametrize("expires", [10**400, -(10**400), float("nan"), float("inf"), "soon", None])
def test_a_strange_expiry_is_left_to_the_server(expires: object) -> None:
    """An outsider's number must not end in an OverflowError."""
    check_audience(make_id_token(AUDIENCE, exp=expires), AUDIENCE, source="X")


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "token",
    [
        "plainly-not-a-token",
        "$(System.AccessToken)",
        "a.b",
        "a.b.c",
        "....",
        f"{encode({})}.{encode({'aud': AUDIENCE})}",
        f"{encode({})}.{encode({'aud': AUDIENCE})}.",
        f"{encode({})}.{encode([1])}.x",
        f"{encode({})}.%%%%.x",
        f"{encode({})}.{base64.urlsafe_b64encode(b'[' * 50_000).decode()[:20_000]}.x",
        "é.é.é",
        "x" * 40_000,
    ],
)
def test_what_is_not_a_token_is_said_to_be_that_without_showing_it(token: str) -> None:
    """S8: the message names the variable, never its content."""
    with pytest.raises(MintError) as caught:
        check_audience(token, AUDIENCE, source="HF_OIDC_ID_TOKEN")

    assert isinstance(caught.value, Error)
    assert "HF_OIDC_ID_TOKEN" in caught.value.message
    assert token not in f"{caught.value} {caught.value.hint}"


def test_the_audience_of_a_stranger_is_cleaned() -> None:
    """Claims are unverified text."""
    with pytest.raises(AudienceError) as caught:
        check_audience(make_id_token("\x1b[2J" + "a" * 5000), AUDIENCE, source="X")

    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 500
