"""Giving a token back (RFC 7009)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyless.client.revocation import can_revoke, revoke_token
from keyless.errors import ExchangeRefusedError, ExchangeUnavailableError, OIDCError, ResponseError
from keyless.http.deadline import Deadline
from keyless.secret import Secret
from tests.support.job import REVOKE_PATH, Job
from tests.support.stub import Answer

TOKEN = Secret("kl_abc.def-ghi_" + "x" * 40)


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def test_the_token_is_posted_as_a_form(job: Job) -> None:
    """RFC 7009 section 2.1."""
    revoke_token(TOKEN, endpoint=job.url, environ={})
    request = job.requests[0]

    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == f"token={TOKEN.reveal()}".encode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, b""), ExchangeRefusedError),
        (Answer(503, b""), ExchangeUnavailableError),
        (Answer(429, b""), ExchangeUnavailableError),
        (Answer(hangs=True), ExchangeUnavailableError),
        (Answer(302, b"", headers={"Location": "https://x"}), ResponseError),
    ],
)
def test_failures_have_a_class(job: Job, answer: Answer, kind: type[OIDCError]) -> None:
    """S6, without the token in the message."""
    job.on(REVOKE_PATH, answer)

    with pytest.raises(kind) as caught:
        revoke_token(TOKEN, endpoint=job.url, deadline=Deadline(0.3), environ={})

    assert TOKEN.reveal() not in str(caught.value)


@pytest.mark.parametrize(("endpoint", "expected"), [("https://huggingface.co", False), ("https://hub.x", True)])
def test_the_public_hub_takes_nothing_back(endpoint: str, expected: bool) -> None:
    """It has no such endpoint, so none is asked."""
    assert can_revoke(endpoint) is expected
