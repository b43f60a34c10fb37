"""Each class of error has one answer, the documented one (D9)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keyless.errors import (
    AudienceMismatchError,
    Error,
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    LockedError,
    MalformedTokenError,
    MissingClaimError,
    NoMatchingPublisherError,
    RateLimitedError,
    ReplayedTokenError,
    RequestError,
    TooManyTokensError,
    UnavailableError,
    UnknownKeyError,
    UnsupportedGrantError,
    UntrustedIssuerError,
)
from keyless.server.doors.errors import ErrorProfile, answer_for
from keyless.server.doors.http import BodyTooLargeError

HUB = "https://hub.example.org"
PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
ROW = re.compile(r"\| `(?P<reason>[a-z_]+)` \| (?P<status>\d{3}) \| `(?P<error>[a-z_]+)` \|.*")

# Whatever the token door can meet, by the classes of section 8 of the threats' list.
CLASSES: dict[str, list[Exception]] = {
    "REQ": [RequestError("x"), BodyTooLargeError("x"), UnsupportedGrantError("x")],
    "TOK": [
        MalformedTokenError("secret"),
        UntrustedIssuerError("secret"),
        UnknownKeyError("secret"),
        InvalidSignatureError("secret"),
        MissingClaimError("x", claim="exp"),
        InvalidClaimError("x", claim="exp"),
        ExpiredTokenError("x", claim="exp"),
        ImmatureTokenError("x", claim="nbf"),
        AudienceMismatchError("x", claim="aud"),
    ],
    "POL, TGT": [NoMatchingPublisherError("x", reasons=[])],
    "RPL": [ReplayedTokenError("x")],
    "BUSY": [RateLimitedError("x", retry_after=7), TooManyTokensError("x", retry_after=7)],
    "DOWN": [UnavailableError("x", retry_after=7), LockedError("x", retry_after=7), KeyError("a bug of ours")],
}
ALL = [
    pytest.param(name, error, id=f"{name} {type(error).__name__}") for name, some in CLASSES.items() for error in some
]


def documented() -> dict[str, tuple[int, str]]:
    """Return status and `error` of each reason in the documentation."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return {row["reason"]: (int(row["status"]), row["error"]) for line in lines if (row := ROW.fullmatch(line))}


@pytest.mark.parametrize(("name", "error"), ALL)
def test_an_error_has_its_documented_answer(name: str, error: Exception) -> None:
    """D9, V19, T96: status and code as the table has them; the other profile differs in the code of refusals only."""
    answer = answer_for(error, ErrorProfile.HUGGINGFACE, audience=HUB)
    other = answer_for(error, ErrorProfile.RFC8693, audience=HUB)

    assert documented()[answer.reason] == (answer.status, answer.error)
    assert (other.status, other.reason, other.description) == (answer.status, answer.reason, answer.description)
    refused = {"TOK", "POL, TGT", "RPL"}
    assert other.error == ("invalid_request" if name in refused else answer.error)
    assert (answer.status >= 500) == (name == "DOWN")
    assert (answer.retry_after is not None) == (name in {"BUSY", "DOWN"})


def test_every_documented_reason_is_given() -> None:
    """D9: a reason that nobody ever sees would be a promise without a proof."""
    given = {
        answer_for(error, ErrorProfile.HUGGINGFACE, audience=HUB).reason for some in CLASSES.values() for error in some
    }

    assert given == set(documented())


def test_before_the_signature_all_refusals_are_one() -> None:
    """T20, T94: a stranger does not learn which check stopped his token."""
    answers = {answer_for(error, ErrorProfile.HUGGINGFACE, audience=HUB) for error in CLASSES["TOK"][:4]}

    assert len(answers) == 1
    assert "secret" not in str(answers)


def test_a_bug_tells_nothing() -> None:
    """D9, T97: no text of an exception that is none of ours leaves."""
    answer = answer_for(KeyError("a bug of ours"), ErrorProfile.HUGGINGFACE, audience=HUB)

    assert "bug" not in answer.description
    assert not isinstance(KeyError(), Error)
