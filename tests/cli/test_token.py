"""`keyless token` and `keyless id-token`: stdout holds a token or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.job import REQUEST_TOKEN, Job, make_id_token, run_cli

STORED = "hf_storedstoredstoredstored"


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def test_the_token_and_nothing_else(job: Job) -> None:
    """`$(keyless token)` is the token."""
    result = run_cli("token", environ=job.github())

    assert (result.stdout, result.stderr, result.returncode) == (f"{job.access_token()}\n", "", 0)


def test_options_win_over_variables(job: Job) -> None:
    """--resource and --endpoint."""
    environ = job.github(HF_ENDPOINT="https://hub.invalid")
    result = run_cli("token", "--resource", "datasets/acme/data", f"--endpoint={job.url}/", environ=environ)

    assert result.stdout == f"{job.access_token()}\n"
    assert job.requests[1].json()["resource"] == "datasets/acme/data"


def test_json(job: Job) -> None:
    """With the lifetime and the request id."""
    result = run_cli("token", "--json", environ=job.github())

    assert json.loads(result.stdout) == {
        "access_token": job.access_token(),
        "source": "oidc",
        "expires_in": 3600,
        "request_id": "req-1",
    }


def test_github_env_masks_on_stderr(job: Job) -> None:
    """D24: a line for GITHUB_ENV on stdout, the mask on stderr, only where the platform has it."""
    on_github = run_cli("token", "--format", "github-env", environ=job.github())
    elsewhere = run_cli("token", "--format", "github-env", environ=job.handed_over())

    assert on_github.stdout == f"HF_TOKEN={job.access_token(1)}\n"
    assert on_github.stderr == f"::add-mask::{job.access_token(1)}\n"
    assert (elsewhere.stdout, elsewhere.stderr) == (f"HF_TOKEN={job.access_token(2)}\n", "")


def stored_everywhere(folder: Path) -> dict[str, str]:
    (folder / "token").write_text(STORED)
    return {"HF_TOKEN": STORED, "HUGGING_FACE_HUB_TOKEN": STORED, "HF_HOME": str(folder)}


def test_a_stored_secret_is_never_printed(job: Job, tmp_path: Path) -> None:
    """D23: OIDC only; without OIDC it fails rather than print what is stored."""
    stored = stored_everywhere(tmp_path)
    good = run_cli("token", environ={**job.github(), **stored})
    bad = run_cli("token", "--resource", "a/b", environ=stored)

    assert good.stdout == f"{job.access_token()}\n"
    assert (bad.stdout, bad.returncode) == ("", 3)
    assert STORED not in good.stdout + good.stderr + bad.stderr


def test_any_source_prints_what_is_stored(job: Job, tmp_path: Path) -> None:
    """--any-source follows S1, precedence and shadow warning included."""
    stored = stored_everywhere(tmp_path)
    plain = run_cli("token", "--any-source", environ=stored)
    shadowed = run_cli("token", "--any-source", environ={**job.github(), **stored})
    first = run_cli("token", "--any-source", environ={**job.github(), **stored, "KEYLESS_PRECEDENCE": "first"})

    assert (plain.stdout, plain.stderr) == (f"{STORED}\n", "")
    assert shadowed.stdout == f"{STORED}\n"
    assert shadowed.stderr.count("HF_OIDC_RESOURCE is set, but HF_TOKEN holds a token") == 1
    assert first.stdout == f"{job.access_token()}\n"


def test_any_source_without_one_uses_oidc(job: Job) -> None:
    """The last resort."""
    assert run_cli("token", "--any-source", environ=job.github()).stdout == f"{job.access_token()}\n"


def test_debug_shows_requests_and_no_secret(job: Job) -> None:
    """S8: through the real process, on stderr."""
    result = run_cli("token", environ=job.github(HF_DEBUG="1"))

    assert result.stderr.count("curl -X") == 2
    assert result.stdout == f"{job.access_token()}\n"
    for secret in [REQUEST_TOKEN, job.id_tokens[0], job.access_token()]:
        slices = {secret[i : i + 12] for i in range(len(secret) - 11)}
        assert [piece for piece in slices if piece in result.stderr] == []


def test_no_resource_is_a_configuration_error(job: Job) -> None:
    """Exit 2, with the variable to set."""
    result = run_cli("token", environ=job.github(HF_OIDC_RESOURCE=""))

    assert (result.stdout, result.returncode) == ("", 2)
    assert "HF_OIDC_RESOURCE" in result.stderr


def test_id_token(job: Job) -> None:
    """The raw id token, for the audience asked for; the endpoint by default."""
    plain = run_cli("id-token", environ=job.github())
    named = run_cli("id-token", "--audience", "other", "--json", environ=job.github())

    assert plain.stdout == f"{job.id_tokens[0]}\n"
    assert json.loads(named.stdout) == {"id_token": job.id_tokens[1], "audience": "other"}
    assert job.requests[1].target.endswith("&audience=other")
    assert job.exchanges == 0


def test_id_token_of_a_named_provider(job: Job) -> None:
    """--provider beats detection; an unknown one is a configuration error."""
    environ = job.github(HF_OIDC_ID_TOKEN=make_id_token(job.url))
    minted = run_cli("id-token", "--provider", "github", environ=environ)
    handed = run_cli("id-token", environ=environ)
    wrong = run_cli("id-token", "--provider", "no-such-ci", environ=environ)

    assert minted.stdout == f"{job.id_tokens[0]}\n"
    assert handed.stdout == f"{environ['HF_OIDC_ID_TOKEN']}\n"
    assert (wrong.stdout, wrong.returncode) == ("", 2)


def test_a_wrong_audience_ends_before_anything_is_sent(job: Job) -> None:
    """Exit 2: the CI file needs another aud."""
    result = run_cli("token", environ=job.handed_over(HF_OIDC_ID_TOKEN=make_id_token("other")))

    assert (result.stdout, result.returncode) == ("", 2)
    assert result.stderr.startswith("keyless: audience: ")
    assert job.requests == []
