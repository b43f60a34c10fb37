"""The exchange against a real server (S4, S6, S8)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest

from keyless import ExchangedToken, exchange_oidc_token
from keyless.errors import (
    ExchangeRefusedError,
    ExchangeUnavailableError,
    OIDCConfigurationError,
    OIDCError,
    ResponseError,
)
from keyless.http.deadline import Deadline
from keyless.secret import Secret
from tests.support.job import TOKEN_PATH, Job, make_id_token
from tests.support.stub import Answer

ID_TOKEN = make_id_token("https://hub.example.org")


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def exchange(job: Job, *, seconds: float = 5, environ: dict[str, str] | None = None) -> ExchangedToken:
    return exchange_oidc_token(
        ID_TOKEN, "acme/model", endpoint=job.url, deadline=Deadline(seconds), environ=environ or {}
    )


def test_the_request_is_the_one_the_hub_knows(job: Job) -> None:
    """S4: RFC 8693 as JSON, four members in the origin's order, no credential in a header."""
    exchange(job)
    request = job.requests[0]

    assert (request.method, request.target) == ("POST", "/oauth/token")
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    assert list(request.json().items()) == [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token", ID_TOKEN),
        ("resource", "acme/model"),
    ]


def test_the_answer_is_a_secret_with_a_lifetime(job: Job) -> None:
    """The lifetime is counted from before the request."""
    before = time.monotonic()
    token = exchange(job)

    assert token.access_token == Secret(job.access_token())
    assert (token.expires_in, token.request_id) == (3600, "req-1")
    assert before + 3600 <= token.expires_at <= time.monotonic() + 3600
    assert job.access_token() not in repr(token)


def test_a_path_prefix_of_the_endpoint_is_kept(job: Job) -> None:
    """protocols.md 1.1: the path is appended to the endpoint, its trailing slash cut."""
    job.on("/prefix/oauth/token", Answer(200, {"access_token": "kl_x"}))

    token = exchange_oidc_token(ID_TOKEN, "a/b", environ={"HF_ENDPOINT": f"{job.url}/prefix/"})

    assert token.access_token.reveal() == "kl_x"


@pytest.mark.parametrize(
    ("given", "expected"), [("absent", 3600), (None, 3600), (900, 900), ("0850", 850), (900.7, 900), (1, 1)]
)
def test_expires_in(job: Job, given: object, expected: int) -> None:
    """RFC 6749 section 5.1, and the numeric strings that some services send."""
    body: dict[str, object] = {"access_token": "kl_x"}
    if given != "absent":
        body["expires_in"] = given
    job.on(TOKEN_PATH, Answer(200, body))

    assert exchange(job).expires_in == expected


BROKEN = [
    ("not json", Answer(200, b"kl_token")),
    ("html", Answer(200, b"<html>", headers={"Content-Type": "text/html"})),
    ("list", Answer(200, ["kl_token"])),
    ("deep", Answer(200, b'{"a":' * 30_000)),
    ("no token", Answer(200, {"token": "kl_token"})),
    ("empty token", Answer(200, {"access_token": ""})),
    ("number", Answer(200, {"access_token": 7})),
    ("two lines", Answer(200, {"access_token": "kl_a\nkl_b"})),
    ("blank inside", Answer(200, {"access_token": "kl_a kl_b"})),
    ("not ascii", Answer(200, {"access_token": "kl_é"})),
    ("huge token", Answer(200, {"access_token": "k" * 20_000})),
    *[
        (f"expires_in {value!r}", Answer(200, {"access_token": "kl_x", "expires_in": value}))
        for value in ["soon", "", "-5", "1e3", -5, 0, True, [], {}, 10**12, "9" * 5000, float("nan"), float("inf")]
    ],
    ("201", Answer(201, {"access_token": "kl_x"})),
    ("204", Answer(204, b"")),
    ("redirect", Answer(307, b"", headers={"Location": "https://evil.example/oauth/token"})),
    ("oversize", Answer(200, b"x" * 1_100_000)),
    ("not http", Answer(raw=b"220 smtp\r\n")),
]


@pytest.mark.parametrize("answer", [case[1] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_success_that_cannot_be_understood(job: Job, answer: Answer) -> None:
    """S6: ResponseError, never a KeyError or a token that is none."""
    job.on(TOKEN_PATH, answer)

    with pytest.raises(ResponseError) as caught:
        exchange(job)

    assert caught.value.hint
    assert ID_TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 451])
def test_a_refusal_carries_what_the_service_said(job: Job, status: int) -> None:
    """S6, T101: every 4xx but 429 is a refusal with a hint, and nothing else is tried instead."""
    body = {"error": "invalid_grant", "error_description": "no publisher matches", "reason": "no_matching_publisher"}
    job.on(TOKEN_PATH, Answer(status, body, headers={"X-Request-Id": "req-77"}))

    with pytest.raises(ExchangeRefusedError) as caught:
        exchange(job)

    error = caught.value
    assert (error.status, error.error, error.reason) == (status, "invalid_grant", "no_matching_publisher")
    assert error.request_id == "req-77"
    assert "invalid_grant: no publisher matches (request id req-77)" in error.message
    assert "repository, branch, workflow" in (error.hint or "")


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("token_expired", "clock"),
        ("token_not_yet_valid", "clock"),
        ("audience_mismatch", "HF_ENDPOINT"),
        ("token_replayed", "counted"),
        ("request_malformed", "namespace/name"),
        ("token_rejected", "audit"),
        ("issuer_unknown", "issuer"),
    ],
)
def test_each_reason_has_its_hint(job: Job, reason: str, word: str) -> None:
    """S6: a user with only the message knows the next step."""
    job.on(TOKEN_PATH, Answer(400, {"error": "invalid_grant", "reason": reason}))

    with pytest.raises(ExchangeRefusedError) as caught:
        exchange(job)

    assert word in (caught.value.hint or "")


@pytest.mark.parametrize("body", [b"", b"<html>", b"plain text", b"[]", b'"x"', b'{"error": 5}', b"\xff", b"[" * 9999])
def test_a_refusal_in_another_form_is_a_refusal(job: Job, body: bytes) -> None:
    """A proxy's or firewall's page is no OAuth error, and no crash either."""
    job.on(TOKEN_PATH, Answer(403, body))

    with pytest.raises(ExchangeRefusedError) as caught:
        exchange(job)

    assert (caught.value.error, caught.value.reason) == (None, None)
    assert caught.value.hint
    assert "<html>" not in caught.value.message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Request-Id": "a", "X-Amzn-Trace-Id": "b"}, "a"),
        ({"X-Amzn-Trace-Id": "Root=1-2-3;uuid", "X-Amz-Cf-Id": "c"}, "Root=1-2-3;uuid"),
        ({"x-amz-cf-id": "c"}, "c"),
        ({}, None),
    ],
)
def test_the_request_id(job: Job, headers: dict[str, str], expected: str | None) -> None:
    """protocols.md 1.2: the first present of three headers."""
    job.on(TOKEN_PATH, Answer(400, {}, headers=headers))

    with pytest.raises(ExchangeRefusedError) as caught:
        exchange(job)

    assert caught.value.request_id == expected


@pytest.mark.parametrize(
    ("answer", "retry_after"),
    [
        (Answer(500, b""), None),
        (Answer(502, b"<html>"), None),
        (Answer(503, {"error": "temporarily_unavailable"}, headers={"Retry-After": "7"}), 7.0),
        (Answer(429, {}, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), 0.0),
        (Answer(503, {}, headers={"Retry-After": "soon"}), None),
        (Answer(503, {}, headers={"Retry-After": "9" * 50}), None),
        (Answer(408, b""), None),
        (Answer(hangs=True), None),
        (Answer(200, {"access_token": "x" * 400}, drip_seconds=0.02), None),
        (Answer(resets=True), None),
        (Answer(raw=b""), None),
    ],
)
def test_an_outage_is_not_a_refusal(job: Job, answer: Answer, retry_after: float | None) -> None:
    """S6, D9: 5xx, 429, time-outs and resets may be tried again."""
    job.on(TOKEN_PATH, answer)
    begun = time.monotonic()

    with pytest.raises(ExchangeUnavailableError) as caught:
        exchange(job, seconds=0.5)

    assert time.monotonic() - begun < 2
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("field", ["error", "error_description", "reason", "message"])
@pytest.mark.parametrize("status", [400, 503])
def test_an_answer_that_echoes_the_token_does_not_leak_it(
    job: Job, caplog: pytest.LogCaptureFixture, field: str, status: int
) -> None:
    """S8: a service that quotes the id token, or half of it, does not make us print it."""
    half = ID_TOKEN[40 : len(ID_TOKEN) // 2]
    job.on(TOKEN_PATH, Answer(status, {field: f"bad {ID_TOKEN} or {half}"}, headers={"X-Request-Id": half}))

    with caplog.at_level(logging.DEBUG), pytest.raises(OIDCError) as caught:
        exchange(job, environ={"HF_DEBUG": "1"})

    shown = f"{caught.value!r} {caught.value.hint} {vars(caught.value)} {caplog.text}"
    assert [ID_TOKEN[i : i + 12] for i in range(len(ID_TOKEN) - 11) if ID_TOKEN[i : i + 12] in shown] == []


def test_debug_shows_the_request_without_the_token(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    """S8: readable, and nothing of request or answer that is secret."""
    with caplog.at_level(logging.DEBUG):
        exchange(job, environ={"HF_DEBUG": "1"})

    assert '"subject_token":"***","resource":"acme/model"' in caplog.text
    assert ID_TOKEN.split(".")[1] not in caplog.text
    assert job.access_token() not in caplog.text


@pytest.mark.parametrize(("token", "resource"), [("", "a/b"), (" \n", "a/b"), (ID_TOKEN, ""), (ID_TOKEN, "a b")])
def test_an_exchange_needs_both_arguments(job: Job, token: str, resource: str) -> None:
    """Nothing is sent for nothing."""
    with pytest.raises(OIDCConfigurationError):
        exchange_oidc_token(token, resource, endpoint=job.url, environ={})

    assert job.requests == []


def test_control_characters_of_the_service_do_not_reach_the_terminal(job: Job) -> None:
    """A line that looks like a workflow command must not start a line."""
    body = json.dumps({"error": "a\n::add-mask::x", "error_description": "\x1b[31mred\u009b"}).encode()
    job.on(TOKEN_PATH, Answer(400, body))

    with pytest.raises(ExchangeRefusedError) as caught:
        exchange(job)

    assert caught.value.message.isprintable()
