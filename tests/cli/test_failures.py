"""S6 as a table: every failing leg, through the real command line in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.job import MINT_PATH, REQUEST_TOKEN, TOKEN_PATH, Job, run_cli
from tests.support.stub import Answer

HTML = {"Content-Type": "text/html"}
AWAY = {"Location": "https://evil.example/"}
DEADLINE_SECONDS = 0.8

# leg, name, answer (or variables to change), error code, words of the hint, exit code
LEGS: list[tuple[str, str, Answer | dict[str, str], str, str, int]] = [
    ("job", "no provider", {"GITHUB_ACTIONS": ""}, "provider_not_found", "HF_OIDC_ID_TOKEN", 3),
    ("job", "no permission", {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}, "id_token_permission", "id-token: write", 3),
    ("job", "act", {"ACT": "1", "ACTIONS_ID_TOKEN_REQUEST_URL": ""}, "provider_not_found", "act", 3),
    ("job", "gitlab", {"GITHUB_ACTIONS": "", "GITLAB_CI": "true"}, "id_token_permission", "id_tokens:", 3),
    ("job", "http endpoint", {"HF_ENDPOINT": "http://hub.invalid"}, "oidc_configuration", "KEYLESS_INSECURE", 2),
    ("job", "endpoint", {"HF_ENDPOINT": "hub.invalid"}, "oidc_configuration", "https://", 2),
    ("job", "offline", {"HF_HUB_OFFLINE": "1"}, "oidc_configuration", "HF_HUB_OFFLINE", 2),
    ("job", "mint url", {"ACTIONS_ID_TOKEN_REQUEST_URL": "nonsense"}, "oidc_configuration", "https://", 2),
    ("mint", "400", Answer(400, {"message": "m"}), "mint_failed", "request token", 1),
    ("mint", "401", Answer(401, b""), "mint_failed", "request token", 3),
    ("mint", "403", Answer(403, b""), "mint_failed", "request token", 3),
    ("mint", "404", Answer(404, b""), "mint_failed", "request token", 1),
    ("mint", "500", Answer(500, b""), "mint_unavailable", "again", 5),
    ("mint", "503", Answer(503, b""), "mint_unavailable", "again", 5),
    ("mint", "429", Answer(429, b""), "mint_unavailable", "again", 5),
    ("mint", "timeout", Answer(hangs=True), "mint_unavailable", "again", 5),
    ("mint", "drip", Answer(200, {"value": "x" * 99}, drip_seconds=0.05), "mint_unavailable", "again", 5),
    ("mint", "reset", Answer(resets=True), "mint_unavailable", "again", 5),
    ("mint", "html", Answer(200, b"<html>", headers=HTML), "mint_failed", "proxy", 1),
    ("mint", "no value", Answer(200, {}), "mint_failed", "proxy", 1),
    ("mint", "oversize", Answer(200, b"x" * 99_999), "mint_failed", "proxy", 1),
    ("mint", "redirect", Answer(302, b"", headers=AWAY), "mint_failed", "proxy", 1),
    ("exchange", "400", Answer(400, {"error": "invalid_grant"}), "exchange_refused", "publisher", 4),
    ("exchange", "401", Answer(401, {"error": "x"}), "exchange_refused", "HF_ENDPOINT", 4),
    ("exchange", "403", Answer(403, b"<html>", headers=HTML), "exchange_refused", "firewall", 4),
    ("exchange", "404", Answer(404, b"<html>", headers=HTML), "exchange_refused", "HF_ENDPOINT", 4),
    ("exchange", "429", Answer(429, {}, headers={"Retry-After": "9"}), "exchange_unavailable", "9 seconds", 5),
    ("exchange", "500", Answer(500, b"oops"), "exchange_unavailable", "again", 5),
    ("exchange", "503", Answer(503, b""), "exchange_unavailable", "again", 5),
    ("exchange", "timeout", Answer(hangs=True), "exchange_unavailable", "again", 5),
    ("exchange", "reset", Answer(resets=True), "exchange_unavailable", "again", 5),
    (
        "exchange",
        "cut",
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        "exchange_unavailable",
        "again",
        5,
    ),
    ("exchange", "not json", Answer(200, b"token"), "response", "HF_ENDPOINT", 1),
    ("exchange", "no token", Answer(200, {"token_type": "Bearer"}), "response", "HF_ENDPOINT", 1),
    ("exchange", "bad expires_in", Answer(200, {"access_token": "kl_x", "expires_in": "soon"}), "response", "base", 1),
    ("exchange", "redirect", Answer(307, b"", headers=AWAY), "response", "HF_ENDPOINT", 1),
    ("exchange", "oversize", Answer(200, b"x" * 1_100_000), "response", "HF_ENDPOINT", 1),
    ("exchange", "not http", Answer(raw=b"SSH-2.0\r\n"), "response", "port", 1),
]


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


@pytest.mark.parametrize(
    ("leg", "change", "code", "hint", "status"),
    [(leg, change, code, hint, status) for leg, _, change, code, hint, status in LEGS],
    ids=[f"{leg}-{name}" for leg, name, *_ in LEGS],
)
def test_a_failing_leg(job: Job, leg: str, change: Answer | dict[str, str], code: str, hint: str, status: int) -> None:
    """S6: right class, hint and exit code; empty stdout, no traceback, no secret, within the deadline."""
    environ = job.github(KEYLESS_TIMEOUT=str(DEADLINE_SECONDS))
    if isinstance(change, Answer):
        job.on(MINT_PATH if leg == "mint" else TOKEN_PATH, change)
    else:
        environ.update(change)
    begun = time.monotonic()

    result = run_cli("token", environ=environ)

    assert time.monotonic() - begun < DEADLINE_SECONDS + 2
    first, *rest = result.stderr.splitlines()
    assert (result.stdout, result.returncode) == ("", status)
    assert first.startswith(f"keyless: {code}: ")
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert hint in result.stderr
    assert "Traceback" not in result.stderr
    assert [secret for secret in [REQUEST_TOKEN, *job.id_tokens] if secret[:40] in result.stderr] == []


def test_the_exchange_is_not_asked_when_the_mint_fails(job: Job) -> None:
    """S6: what cannot mint does not go on without."""
    job.on(MINT_PATH, Answer(500, b""))
    run_cli("token", environ=job.github(KEYLESS_TIMEOUT=str(DEADLINE_SECONDS)))

    assert job.exchanges == 0
