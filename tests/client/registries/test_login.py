"""The dialects of package registries from the job's side."""

from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

from keyless.client.registries.login import find_dialect, registry_login
from keyless.errors import (
    ExchangeRefusedError,
    ExchangeUnavailableError,
    OIDCConfigurationError,
    ProviderNotFoundError,
    ResponseError,
)
from keyless.secret import Secret
from tests.support.job import MINT_PATH, Job, run_cli
from tests.support.stub import Answer

AUDIENCE = "/_/oidc/audience"
MINT = "/_/oidc/mint-token"
BURN = "/_/oidc/burn-token"
NPM = "/-/npm/v1/oidc/token/exchange/package/@acme%2fui"
OCI = "/oci/token"


@pytest.fixture
def job() -> Iterator[Job]:
    """A job, and a registry that answers until a test scripts it otherwise."""
    with Job() as running:
        running.on(AUDIENCE, Answer(200, {"audience": "some-word"}))
        running.on(MINT, Answer(200, {"success": True, "token": "pypi-good", "expires": int(time.time()) + 900}))
        running.on(BURN, Answer(200, {}))
        running.on(NPM, Answer(201, {"token": "npm_good", "token_type": "oidc"}))
        running.on(OCI, Answer(200, {"access_token": "oci_good", "expires_in": 900}))
        yield running


def asked_audience(job: Job) -> str:
    """Return the audience of the last id token that was minted."""
    minted = [request for request in job.requests if request.path == MINT_PATH][-1]
    return unquote(parse_qs(minted.target.partition("?")[2])["audience"][0])


def test_pypi_asks_for_the_audience_and_mints(job: Job) -> None:
    """Both at the root of the host, wherever the index itself stands."""
    token = registry_login("pypi", endpoint=f"{job.url}/team/index/", environ=job.github())

    assert token.access_token.reveal() == "pypi-good"
    assert 890 <= token.expires_in <= 900
    assert asked_audience(job) == "some-word"
    assert job.requests[-1].json() == {"token": job.id_tokens[0]}


def test_npm_exchanges_for_one_package(job: Job) -> None:
    """The id token is the Bearer, and the scope's slash stays encoded."""
    token = registry_login("npm", endpoint=job.url, package="@acme/ui", environ=job.github())

    assert token.access_token.reveal() == "npm_good"
    assert asked_audience(job) == "npm:127.0.0.1"
    assert job.requests[-1].headers["authorization"] == f"Bearer {job.id_tokens[0]}"


def test_oci_exchanges_for_one_repository(job: Job) -> None:
    """RFC 8693 at the realm, as a form."""
    token = registry_login("oci", endpoint=job.url, package="oci/acme/app", environ=job.github())

    assert token.access_token.reveal() == "oci_good"
    assert asked_audience(job) == f"oci:127.0.0.1:{job.port}"
    sent = parse_qs(job.requests[-1].body.decode())
    assert (sent["resource"], sent["subject_token"]) == (["oci/acme/app"], [job.id_tokens[0]])


@pytest.mark.parametrize(
    ("kind", "path", "body", "told"),
    [
        ("pypi", MINT, {"message": "no", "errors": [{"code": "invalid-publisher", "description": "why"}]}, "why"),
        ("pypi", AUDIENCE, {"message": "switched off"}, "switched off"),
        ("npm", NPM, {"message": "why"}, "why"),
        ("oci", OCI, {"errors": [{"code": "UNAUTHORIZED", "message": "why"}]}, "why"),
    ],
)
def test_refusal_is_told_in_the_registrys_words(
    job: Job, kind: str, path: str, body: dict[str, object], told: str
) -> None:
    """S6: each dialect has its text elsewhere."""
    job.on(path, Answer(403, body))

    with pytest.raises(ExchangeRefusedError, match=told) as caught:
        registry_login(kind, endpoint=job.url, package="@acme/ui", environ=job.github())
    assert caught.value.status == 403


def test_outage_of_ours_is_waited_for_with_a_new_id_token(job: Job) -> None:
    """D9: nothing was granted or refused, so the job tries again."""
    failing = Answer(503, {"message": "x", "reason": "unavailable"}, headers={"Retry-After": "0"})
    job.on(MINT, failing, Answer(200, {"token": "pypi-good"}))

    assert registry_login("pypi", endpoint=job.url, environ=job.github()).access_token.reveal() == "pypi-good"


@pytest.mark.parametrize("answer", [Answer(502, b"<html>"), Answer(500, {})])
def test_lasting_outage_is_no_refusal(job: Job, answer: Answer) -> None:
    """D9: exit code 5, another try is worth it."""
    job.on(MINT, answer)

    with pytest.raises(ExchangeUnavailableError):
        registry_login("pypi", endpoint=job.url, environ=job.github(KEYLESS_TIMEOUT="2"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", {"token": 7}, {"token": "two words"}, {"token": "a\nb"}])
def test_answer_without_a_token_is_an_error(job: Job, body: object) -> None:
    """S6: never a silent run without one."""
    job.on(MINT, Answer(200, body))

    with pytest.raises(ResponseError):
        registry_login("pypi", endpoint=job.url, environ=job.github())


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("cargo", {"endpoint": "https://x.example.org"}, "no kind of registry"),
        ("pypi", {}, "no pypi registry"),
        ("npm", {"endpoint": "https://x.example.org"}, "for one package"),
        ("oci", {"endpoint": "https://x.example.org", "package": "oci/"}, "for one package"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_asked(kind: str, options: dict[str, str], told: str) -> None:
    """No registry's address is built in."""
    with pytest.raises(OIDCConfigurationError, match=told):
        registry_login(kind, environ={}, **options)


def test_outside_a_ci_there_is_no_token(job: Job) -> None:
    """S6: the index is asked for its audience, and gets nothing."""
    with pytest.raises(ProviderNotFoundError):
        registry_login("pypi", endpoint=job.url, environ={})


def test_files_for_tools_are_private_and_name_one_registry(tmp_path: Path) -> None:
    """D23: what npm, skopeo and pip read gives the token to this registry alone."""
    token, url = Secret("the-token"), "https://registry.example.org:8443/path"
    npm = find_dialect("npm").variables(url, token, str(tmp_path))
    oci = find_dialect("oci").variables(url, token, str(tmp_path))
    pypi = find_dialect("pypi").variables(url, token, str(tmp_path))

    npmrc = Path(npm["NPM_CONFIG_USERCONFIG"])
    assert "//registry.example.org:8443/path/:_authToken=the-token" in npmrc.read_text()
    auths = json.loads(Path(oci["REGISTRY_AUTH_FILE"]).read_text())["auths"]
    assert list(auths) == ["registry.example.org:8443"]
    assert base64.b64decode(auths["registry.example.org:8443"]["auth"]) == b"keyless:the-token"
    assert Path(oci["DOCKER_CONFIG"], "config.json") == Path(oci["REGISTRY_AUTH_FILE"])
    assert Path(pypi["NETRC"]).read_text() == "machine registry.example.org login __token__ password the-token\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_token_command_speaks_the_dialect(job: Job) -> None:
    """D23: the token alone on stdout; formats that name the Hub's variable are refused."""
    done = run_cli("token", "--for", "pypi", "--endpoint", job.url, environ=job.github())
    assert (done.returncode, done.stdout) == (0, "pypi-good\n"), done.stderr
    named = run_cli(
        "token", "--for", "npm", "--endpoint", job.url, "--resource", "@acme/ui", "--json", environ=job.github()
    )
    assert json.loads(named.stdout)["access_token"] == "npm_good"
    hub = run_cli("token", "--for", "huggingface", "--endpoint", job.url, environ=job.github())
    assert hub.stdout == f"{job.access_token()}\n"
    wrong = run_cli("token", "--for", "pypi", "--endpoint", job.url, "--format", "env", environ=job.github())
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_exec_gives_the_command_what_its_tools_read_and_burns_the_token(job: Job) -> None:
    """D23: the token in, the CI's means to mint out, nothing left behind."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = run_cli(*("exec", "--for", "pypi", "--endpoint", job.url, "--", "python3", "-c", show), environ=job.github())
    assert done.returncode == 0, done.stderr
    environ = json.loads(done.stdout)

    assert (environ["TWINE_USERNAME"], environ["TWINE_PASSWORD"]) == ("__token__", "pypi-good")
    assert environ["UV_PUBLISH_TOKEN"] == "pypi-good"
    assert "ACTIONS_ID_TOKEN_REQUEST_TOKEN" not in environ
    assert environ.get("HF_ENDPOINT") == job.url  # as it was; the registry is no hub
    assert not Path(environ["NETRC"]).exists()
    assert job.count(BURN) == 1
    assert done.stderr.replace("::add-mask::pypi-good", "").count("pypi-good") == 0


def test_exec_for_a_registry_says_what_is_missing(job: Job) -> None:
    """D23: before anything is minted."""
    for words in (["--for", "pypi"], ["--for", "gem", "--endpoint", job.url], ["--for", "npm", "--endpoint", job.url]):
        done = run_cli("exec", *words, "--", "true", environ=job.github())
        assert done.returncode == 2, done.stderr
    assert job.mints == 0
