"""Minting on GitHub Actions against a real server (S3, S6)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.http.deadline import Deadline
from keyless.providers import github
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.github import add_audience
from tests.support.job import MINT_PATH, REQUEST_TOKEN, Job
from tests.support.stub import Answer


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def mint(job: Job, audience: str = "https://hub.example.org", *, seconds: float = 5) -> str:
    environ = job.github()
    found = github.detect(environ, audience)
    assert isinstance(found, CanMint)
    return found.mint(audience, deadline=Deadline(seconds), environ=environ).reveal()


def test_the_token_is_the_value_of_the_answer(job: Job) -> None:
    """S3: GET with the bearer token, JSON member `value`."""
    assert mint(job) == job.id_tokens[0]
    assert job.requests[0].method == "GET"
    assert job.requests[0].headers["authorization"] == f"Bearer {REQUEST_TOKEN}"


def test_the_query_of_the_request_url_is_kept(job: Job) -> None:
    """protocols.md 0.3: `api-version=2.0` must survive; the origin's client drops it."""
    mint(job, "https://hub.example.org/a b&c=d#e+f")

    query = parse_qsl(urlsplit(job.requests[0].target).query)
    assert query == [("api-version", "2.0"), ("audience", "https://hub.example.org/a b&c=d#e+f")]


@pytest.mark.parametrize(
    ("url", "merged"),
    [
        ("https://x/idtoken", "https://x/idtoken?audience=a%2Fb"),
        ("https://x/idtoken?", "https://x/idtoken?audience=a%2Fb"),
        ("https://x/idtoken?placeholder=true", "https://x/idtoken?placeholder=true&audience=a%2Fb"),
        ("https://x/i?a=%2f&b=+&c", "https://x/i?a=%2f&b=+&c&audience=a%2Fb"),
        ("https://x/i?a=b&", "https://x/i?a=b&audience=a%2Fb"),
    ],
)
def test_the_audience_is_merged_byte_for_byte(url: str, merged: str) -> None:
    """providers.md 1.3: some URLs have no query, some carry state in it; what is there stays as it is."""
    assert add_audience(url, "a/b") == merged


FAILURES = [
    ("500", Answer(500, {"message": "down"}), MintUnavailableError),
    ("503", Answer(503, b""), MintUnavailableError),
    ("429", Answer(429, b""), MintUnavailableError),
    ("408", Answer(408, b""), MintUnavailableError),
    ("late", Answer(hangs=True), MintUnavailableError),
    ("in drops", Answer(200, {"value": "x" * 400}, drip_seconds=0.02), MintUnavailableError),
    ("reset", Answer(resets=True), MintUnavailableError),
    ("cut", Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), MintUnavailableError),
    ("400", Answer(400, {"message": "bad"}), MintError),
    ("401", Answer(401, b"no"), MintError),
    ("403", Answer(403, b"<html>no</html>", headers={"Content-Type": "text/html"}), MintError),
    ("404", Answer(404, b""), MintError),
    ("201", Answer(201, {"value": "x"}), MintError),
    ("204", Answer(204, b""), MintError),
    ("html", Answer(200, b"<html>login</html>", headers={"Content-Type": "text/html"}), MintError),
    ("not json", Answer(200, b"value"), MintError),
    ("deep json", Answer(200, b"[" * 30_000), MintError),
    ("not utf-8", Answer(200, b"\xff\xfe\xff"), MintError),
    ("list", Answer(200, ["x"]), MintError),
    ("no value", Answer(200, {"token": "x"}), MintError),
    ("empty value", Answer(200, {"value": ""}), MintError),
    ("number", Answer(200, {"value": 5}), MintError),
    ("two lines", Answer(200, {"value": "a\nb"}), MintError),
    ("oversize", Answer(200, {"value": "x" * 100_000}), MintError),
    ("redirect", Answer(302, b"", headers={"Location": "https://evil.example/"}), MintError),
    ("not http", Answer(raw=b"hello\r\n"), MintError),
]


@pytest.mark.parametrize(("answer", "kind"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_every_failing_answer_has_its_class(job: Job, answer: Answer, kind: type[MintError]) -> None:
    """S6: outage, refusal and nonsense are told apart, in time, without the request token."""
    job.on(MINT_PATH, answer)
    begun = time.monotonic()

    with pytest.raises(MintError) as caught:
        mint(job, seconds=0.5)

    assert type(caught.value) is kind
    assert time.monotonic() - begun < 2
    assert REQUEST_TOKEN not in f"{caught.value} {caught.value.hint}"


def test_a_refusal_that_echoes_the_request_token_does_not_leak_it(job: Job) -> None:
    """S8: the platform's words are quoted, redacted."""
    job.on(MINT_PATH, Answer(400, json.dumps({"message": f"bad token {REQUEST_TOKEN[:30]}!"}).encode()))

    with pytest.raises(MintError, match="bad token") as caught:
        mint(job)

    assert REQUEST_TOKEN[:12] not in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["permissions:\n      id-token: write\n      contents: read", "reusable workflow"]),
        ({"GITHUB_EVENT_NAME": "pull_request"}, ["id-token: write", "fork"]),
        ({"GITHUB_ACTOR": "dependabot[bot]", "GITHUB_EVENT_NAME": "push"}, ["Dependabot"]),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}, ["id-token: write"]),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": " \n"}, ["id-token: write"]),
    ],
)
def test_a_missing_permission_holds_the_lines_to_add(environ: dict[str, str], words: list[str]) -> None:
    """S6: the hint is the YAML, and why it does not help a pull request from a fork."""
    found = github.detect({"GITHUB_ACTIONS": "true", **environ}, "a")

    assert isinstance(found, CannotMint)
    assert isinstance(found.error, IdTokenPermissionError)
    assert [word for word in words if word not in (found.error.hint or "")] == []


def test_a_push_is_not_told_about_forks() -> None:
    """A hint that does not fit sends people the wrong way."""
    found = github.detect({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}, "a")

    assert isinstance(found, CannotMint)
    assert "fork" not in (found.error.hint or "")
