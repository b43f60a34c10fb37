"""`keyless git-credential`: the protocol, and the real git against a real git server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from keyless.cli.git_credential import choose_resource, is_for, read_attributes
from keyless.http.url import parse_url
from tests.cli.git_server import GitServer
from tests.support.certificates import make_authority, server_context
from tests.support.job import RESOURCE, TOKEN_PATH, Job, make_id_token
from tests.support.stub import Answer

HUB = "https://hub.example.org"


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def helper(*words: str, environ: Mapping[str, str], attributes: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keyless", "git-credential", *words],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ},
        input="".join(f"{name}={value}\n" for name, value in attributes.items()) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def asked(job: Job, **more: str) -> dict[str, str]:
    return {"protocol": "http", "host": f"127.0.0.1:{job.port}", **more}


def test_get_answers_with_a_token(job: Job) -> None:
    """git-credential(1): user name, password, and when it ends."""
    result = helper("get", environ=job.github(), attributes=asked(job))
    answer = dict(line.split("=", 1) for line in result.stdout.splitlines())

    assert (answer["username"], answer["password"]) == ("keyless", job.access_token())
    assert 3500 < int(answer["password_expiry_utc"]) - time.time() <= 3600
    assert (result.stderr, result.returncode) == ("", 0)


def test_a_user_name_that_is_known_is_kept(job: Job) -> None:
    """Git asks for that user; another one would be ignored."""
    result = helper("get", environ=job.github(), attributes=asked(job, username="me"))

    assert result.stdout.startswith("username=me\n")


@pytest.mark.parametrize("action", ["store", "capability", "future"])
def test_other_actions_do_nothing(job: Job, action: str) -> None:
    """gitcredentials(7): what a helper does not know, it ignores. Nothing is stored."""
    result = helper(action, environ=job.github(), attributes=asked(job, username="u", password="p"))

    assert (result.stdout, result.stderr, result.returncode, job.requests) == ("", "", 0, [])


NOT_OURS = [
    {"protocol": "https", "host": "other.example.org"},
    {"protocol": "https", "host": "hub.example.org.evil.example"},
    {"protocol": "https", "host": "sub.hub.example.org"},
    {"protocol": "https", "host": "hub.example.org:8443"},
    {"protocol": "https", "host": "hub.example.org:0"},
    {"protocol": "https", "host": "hub.example.org:99999999"},
    {"protocol": "https", "host": "hub.example.org:x"},
    {"protocol": "http", "host": "hub.example.org"},
    {"protocol": "http", "host": "hub.example.org:443"},
    {"protocol": "ssh", "host": "hub.example.org"},
    {"host": "hub.example.org"},
    {"protocol": "https"},
    {},
]


@pytest.mark.parametrize("attributes", NOT_OURS, ids=str)
def test_nobody_else_gets_an_answer(attributes: dict[str, str]) -> None:
    """Only scheme, host and port of the endpoint."""
    assert not is_for(attributes, parse_url(HUB, name="HF_ENDPOINT"))


@pytest.mark.parametrize(
    ("endpoint", "attributes", "expected"),
    [
        (HUB, {"protocol": "https", "host": "hub.example.org"}, True),
        (HUB, {"protocol": "HTTPS", "host": "Hub.Example.ORG:443"}, True),
        (f"{HUB}:8443", {"protocol": "https", "host": "hub.example.org:8443"}, True),
        (f"{HUB}:8443", {"protocol": "https", "host": "hub.example.org"}, False),
        ("http://localhost:8080", {"protocol": "http", "host": "localhost:8080"}, True),
        ("http://[::1]:8080", {"protocol": "http", "host": "[::1]:8080"}, True),
        ("https://[2001:db8::1]", {"protocol": "https", "host": "[2001:db8::1]"}, True),
        ("http://hub.example.org", {"protocol": "http", "host": "hub.example.org"}, False),
        (f"{HUB}/hub", {"protocol": "https", "host": "hub.example.org", "path": "hub/acme/model"}, True),
        (f"{HUB}/hub", {"protocol": "https", "host": "hub.example.org"}, True),
        (f"{HUB}/hub", {"protocol": "https", "host": "hub.example.org", "path": "hubris/acme/model"}, False),
        (f"{HUB}/hub", {"protocol": "https", "host": "hub.example.org", "path": "acme/model"}, False),
    ],
    ids=str,
)
def test_whose_question_it_is(endpoint: str, attributes: dict[str, str], expected: bool) -> None:
    """Default ports, addresses, a path prefix; plain http for this machine only."""
    assert is_for(attributes, parse_url(endpoint, name="HF_ENDPOINT")) is expected


@pytest.mark.parametrize(
    ("path", "wanted", "expected"),
    [
        ("acme/model", "", "acme/model"),
        ("acme/model.git", "", "acme/model"),
        ("datasets/acme/data.git/info/lfs", "", "datasets/acme/data"),
        ("", "", ""),
        ("", "acme/model", "acme/model"),
        ("acme/model.git", "acme/model", "acme/model"),
        ("models/acme/model", "acme/model", "acme/model"),
        ("acme/other", "acme/model", None),
        ("datasets/acme/model", "acme/model", None),
        ("group/sub/project.git", "group/sub/project", "group/sub/project"),
        ("group/sub/project.git", "group/sub/other", None),
        ("a b", "", ""),
    ],
    ids=str,
)
def test_which_resource(path: str, wanted: str, expected: str | None) -> None:
    """What the user named; else the repository that git names; nothing where they differ."""
    attributes = {"protocol": "https", "host": "hub.example.org", "path": path}

    assert choose_resource(attributes, parse_url(HUB, name="HF_ENDPOINT"), wanted) == expected


def test_attributes_end_at_the_empty_line() -> None:
    """Lists and lines without a value are not ours to read."""
    lines = ["protocol=https", "wwwauth[]=Basic", "nonsense", "path=a=b", "", "host=late"]

    assert read_attributes(lines) == {"protocol": "https", "path": "a=b"}


def test_without_a_repository_it_says_what_to_set(job: Job) -> None:
    """Silence would look like a broken helper."""
    result = helper("get", environ=job.github(HF_OIDC_RESOURCE=""), attributes=asked(job))

    assert (result.stdout, result.returncode, job.requests) == ("", 0, [])
    assert "useHttpPath" in result.stderr


def test_a_failure_ends_git_too(job: Job) -> None:
    """S6: no prompt and no other helper where a token should have been."""
    job.on(TOKEN_PATH, Answer(400, {"error": "invalid_grant"}))
    result = helper("get", environ=job.github(), attributes=asked(job))

    assert (result.stdout, result.returncode) == ("quit=1\n", 4)
    assert "exchange_refused" in result.stderr


@pytest.mark.parametrize("words", [[], ["--resource"], ["--nonsense", "get"]])
def test_usage(job: Job, words: list[str]) -> None:
    """Exit 2."""
    assert helper(*words, environ=job.github(), attributes={}).returncode == 2


class Workplace:
    """A job with the helper configured as its help says, and a git server behind the endpoint's own URL."""

    def __init__(self, folder: Path, job: Job, server: GitServer, authority: Path) -> None:
        self.folder = folder
        self.job = job
        self.server = server
        program = f"!'{sys.executable}' -m keyless git-credential --endpoint {server.url}"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSL_CAINFO": str(authority),
            "SSL_CERT_FILE": str(authority),
            **job.github(HF_ENDPOINT=server.url, RUNNER_TEMP=str(folder)),
        }
        self.git("config", "--global", "credential.helper", program)
        self.git("config", "--global", "user.name", "job")
        self.git("config", "--global", "user.email", "job@example.org")

    def git(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *words],
            env=self.environ,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=40,
            stdin=subprocess.DEVNULL,
        )


class Hub(GitServer):
    """The git server that also answers the exchange, as a hub does."""

    def __init__(self, root: Path, job: Job, *, is_https: bool = True) -> None:
        super().__init__(root, {job.access_token(1)}, tls=server_context() if is_https else None)
        self.job = job

    def _serve(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if request.path != TOKEN_PATH:
            super()._serve(request, body)
            return
        answer = self.job._exchange()
        content = json.dumps(answer.body).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@pytest.fixture(params=["https", "http"])
def workplace(request: pytest.FixtureRequest, tmp_path: Path, job: Job) -> Iterator[Workplace]:
    (tmp_path / "repositories").mkdir()
    (tmp_path / "home").mkdir()
    with Hub(tmp_path / "repositories", job, is_https=request.param == "https") as server:
        server.create(f"{RESOURCE}.git")
        yield Workplace(tmp_path / "home", job, server, make_authority("127.0.0.1")[0])


def test_clone_and_push(workplace: Workplace) -> None:
    """Must hold: `git clone` and `git push` with the helper, and the same token for both."""
    url = f"{workplace.server.url}/{RESOURCE}.git"
    cloned = workplace.git("clone", "-q", url, "work")
    work = workplace.folder / "work"
    (work / "model.txt").write_text("weights")
    workplace.git("add", ".", cwd=work)
    workplace.git("commit", "-q", "-m", "first", cwd=work)
    pushed = workplace.git("push", "-q", "origin", "HEAD:main", cwd=work)
    again = workplace.git("clone", "-q", url, "again")

    assert [cloned.returncode, pushed.returncode, again.returncode] == [0, 0, 0], cloned.stderr + pushed.stderr
    assert (workplace.folder / "again" / "model.txt").read_text() == "weights"
    assert {password for password in workplace.server.shown if password} == {workplace.job.access_token()}
    assert workplace.job.mints == 1


def test_the_repository_of_the_path_is_the_resource(workplace: Workplace) -> None:
    """With useHttpPath and no HF_OIDC_RESOURCE; another repository than the one named gets nothing."""
    workplace.git("config", "--global", "credential.useHttpPath", "true")
    workplace.server.create("acme/other.git")
    workplace.environ["HF_OIDC_RESOURCE"] = ""
    from_path = workplace.git("ls-remote", f"{workplace.server.url}/{RESOURCE}.git")
    workplace.environ["HF_OIDC_RESOURCE"] = RESOURCE
    other = workplace.git("ls-remote", f"{workplace.server.url}/acme/other.git")

    assert from_path.returncode == 0, from_path.stderr
    assert other.returncode != 0


@pytest.mark.parametrize("kind", ["port", "host", "scheme"])
def test_the_helper_is_silent_elsewhere(workplace: Workplace, tmp_path: Path, kind: str) -> None:
    """Must hold: another port, another host, plain http: not even a mint."""
    host = "127.0.0.2" if kind == "host" else "127.0.0.1"
    is_https = workplace.server.url.startswith("https") and kind != "scheme"
    workplace.environ["GIT_SSL_CAINFO"] = str(make_authority(host)[0])
    tls = server_context(host) if is_https else None
    with GitServer(tmp_path / "repositories", {"never"}, tls=tls, host=host) as stranger:
        result = workplace.git("ls-remote", f"{stranger.url}/{RESOURCE}.git")

    assert result.returncode != 0
    assert stranger.shown
    assert set(stranger.shown) == {None}
    assert workplace.job.requests == []


def test_a_token_that_the_server_refuses_is_replaced(workplace: Workplace) -> None:
    """Git says erase; the next command brings a new token instead of the cached one."""
    workplace.server.passwords.clear()
    workplace.server.passwords.add(workplace.job.access_token(2))
    url = f"{workplace.server.url}/{RESOURCE}.git"
    first = workplace.git("ls-remote", url)
    second = workplace.git("ls-remote", url)

    assert first.returncode != 0
    assert second.returncode == 0, second.stderr


def test_git_stops_when_there_should_be_a_token(workplace: Workplace) -> None:
    """S6: with the reason on stderr, and no question to a user who is not there."""
    workplace.environ["HF_OIDC_ID_TOKEN"] = make_id_token("somebody else")
    result = workplace.git("ls-remote", f"{workplace.server.url}/{RESOURCE}.git")

    assert result.returncode != 0
    assert "keyless: audience:" in result.stderr
    assert "terminal prompts disabled" not in result.stderr
