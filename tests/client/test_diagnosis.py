"""What `diagnose` finds in a job: each mistake is named, with the line that mends it, and no secret is shown."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from keyless.client import diagnosis
from keyless.client.diagnosis import provider
from keyless.client.diagnosis.check import (
    Cause,
    Check,
    Report,
    Status,
    failed,
    looks_secret,
    scrub,
    secrets_of,
)
from keyless.client.diagnosis.claims import GUARDED_EVENTS, GUARDED_SOURCES, check_claims, publisher_command
from keyless.client.diagnosis.clock import ServiceTime, check_clock, distance
from keyless.client.diagnosis.configuration import near_misses
from keyless.client.diagnosis.diagnose import diagnose
from keyless.client.diagnosis.id_token import check_id_token
from keyless.client.exchange import GRANT_TYPE
from keyless.errors import OIDCConfigurationError
from keyless.http.deadline import Deadline
from keyless.issuers.github import GUARDED_EVENTS as SERVICE_EVENTS
from keyless.issuers.gitlab import GUARDED_SOURCES as SERVICE_SOURCES
from keyless.providers.base import CanMint
from keyless.secret import Secret
from keyless.server.settings import Settings
from keyless.testing import DROP, Clock, FakeCI, FakeGitHub, FakeIssuer, github_claims, gitlab_claims
from tests.support.certificates import make_authority, server_context
from tests.support.proxy import ConnectProxy
from tests.support.stub import Answer, StubServer

METADATA = "/.well-known/oauth-authorization-server"
ACCESS_TOKEN = "kl_accessaccess-abcdefghijklmnopqrstuvwxyz0123456789"
STORED = "plainstoredtokenwithoutanyshape0123456789abcdef"
NAMES = [
    "resource",
    "endpoint",
    "variables",
    "token_source",
    "provider",
    "id_token",
    "claims",
    "clock",
    "reachability",
    "publisher",
    "exchange",
]


class RecordingIssuer(FakeIssuer):
    """Remember every token, to look for it where it must not be."""

    def __init__(self) -> None:
        super().__init__(algorithm="ES256")
        self.minted: list[str] = []

    def mint(self, *arguments: Any, **named: Any) -> str:
        token = super().mint(*arguments, **named)
        self.minted.append(token)
        return token


class Service(StubServer):
    """A token service: metadata, an exchange that grants, a revocation."""

    def metadata(self, **more: object) -> Answer:
        document = {"issuer": self.url, "grant_types_supported": [GRANT_TYPE], **more}
        return Answer(200, document, headers={"Date": formatdate(usegmt=True)})

    def good(self) -> Service:
        self.on(METADATA, self.metadata())
        answer = {"access_token": ACCESS_TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        self.on("/oauth/token", Answer(200, answer, headers={"X-Request-Id": "req-7"}))
        self.on("/oauth/revoke", Answer(200))
        return self


@pytest.fixture(scope="module")
def issuer() -> Iterator[RecordingIssuer]:
    with RecordingIssuer() as running:
        yield running


@pytest.fixture
def github(issuer: RecordingIssuer) -> Iterator[FakeGitHub]:
    with FakeCI.github(issuer) as running:
        yield running


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running.good()


def examine(
    environ: Mapping[str, str], issuer: RecordingIssuer | None = None, *, seconds: float = 10, **options: Any
) -> dict[str, Check]:
    """Diagnose, and hold the report to what is true of every report."""
    report = diagnose(environ, deadline=Deadline(seconds), **options)

    assert [check.id for check in report.checks] == NAMES
    shown = json.dumps(report.as_json(), ensure_ascii=False)
    secrets = [*secrets_of(environ), ACCESS_TOKEN, STORED, *(issuer.minted if issuer else [])]
    leaked = [s[i : i + 12] for s in secrets for i in range(len(s) - 11) if s[i : i + 12] in shown]
    assert leaked == []  # S8
    for check in report.checks:
        assert (check.problem is None) == (check.status in {Status.OK, Status.SKIPPED})
        assert (check.fix is None) == (check.problem is None)
        assert (check.cause is None) == (check.status is not Status.FAILED)
        assert check.seen
        assert "\n" not in check.seen
    return {check.id: check for check in report.checks}


def job(github: FakeGitHub, service: StubServer, **more: str) -> dict[str, str]:
    return {**github.environ(), "HF_ENDPOINT": service.url, "HF_OIDC_RESOURCE": "acme/model", **more}


def statuses(checks: Mapping[str, Check], status: Status) -> list[str]:
    return [name for name, check in checks.items() if check.status is status]


def fix_of(check: Check) -> str:
    assert check.fix is not None
    return check.fix


def problem_of(check: Check) -> str:
    assert check.problem is not None
    return check.problem


# --- a good job, and none at all -------------------------------------------------------------------------------------


def test_a_good_job_is_ok(github: FakeGitHub, service: Service, issuer: RecordingIssuer) -> None:
    """Everything that can be seen is seen, and nothing is exchanged."""
    checks = examine(job(github, service), issuer)

    assert statuses(checks, Status.OK) == NAMES[:-2]
    assert statuses(checks, Status.SKIPPED) == ["publisher", "exchange"]  # this service explains nothing
    assert "--exchange" in checks["exchange"].seen
    assert service.count("/oauth/token") == 0
    assert f"aud {service.url}, iss {issuer.url}, lives 300 s" in checks["id_token"].seen
    assert checks["claims"].seen == (
        "repository acme/widgets (repository_id 456789, repository_owner_id 123456), branch main, "
        "workflow train.yml, environment (none), event push"
    )


def test_without_any_configuration_it_says_what_is_missing() -> None:
    """Outside CI, logged in nowhere, no network: nothing is raised."""
    checks = examine({"HOME": "/nonexistent"})

    assert statuses(checks, Status.FAILED) == ["provider", "reachability"]
    assert checks["provider"].cause is Cause.PROVIDER
    assert "id-token: write" in fix_of(checks["provider"])
    assert "aud: https://huggingface.co" in fix_of(checks["provider"])
    assert checks["resource"].status is Status.WARNING
    assert "HF_OIDC_RESOURCE=namespace/name" in fix_of(checks["resource"])


def test_the_document_is_stable() -> None:
    """`{ok, checks: [{id, status, seen, problem, fix}]}`, all members always there."""
    document = diagnose({"HOME": "/nonexistent"}, deadline=Deadline(2)).as_json()

    assert list(document) == ["ok", "checks"]
    assert document["ok"] is False
    checks = document["checks"]
    assert isinstance(checks, list)
    assert {tuple(check) for check in checks} == {("id", "status", "seen", "problem", "fix")}


# --- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("https://huggingface.co/datasets/acme/data/tree/main", "HF_OIDC_RESOURCE=datasets/acme/data"),
        ("https://huggingface.co/acme/model", "HF_OIDC_RESOURCE=acme/model"),
        ("dataset/acme/data", "HF_OIDC_RESOURCE=datasets/acme/data"),
        ("acme/model.git", "HF_OIDC_RESOURCE=acme/model"),
        ("/acme/model/", "HF_OIDC_RESOURCE=acme/model"),
        ("acme model", "HF_OIDC_RESOURCE=namespace/name"),
        ("a//b", "HF_OIDC_RESOURCE=namespace/name"),
        ("x" * 300, "HF_OIDC_RESOURCE=namespace/name"),
    ],
)
def test_a_wrong_resource_is_named_with_the_right_one(text: str, fix: str) -> None:
    """The grammar, and what was probably meant."""
    check = examine({"HF_OIDC_RESOURCE": text, "HF_ENDPOINT": "http://127.0.0.1:9"})["resource"]

    assert (check.status, check.cause) == (Status.FAILED, Cause.CONFIGURATION)
    assert fix in fix_of(check)


def test_a_token_in_place_of_a_resource_is_not_shown() -> None:
    """S8: and is told to be revoked."""
    check = examine({"HF_OIDC_RESOURCE": "hf_abcdefghijklmnopqrstuvwxyz", "HF_ENDPOINT": "http://127.0.0.1:9"})[
        "resource"
    ]

    assert check.status is Status.FAILED
    assert "Revoke" in problem_of(check)
    assert "abcdefgh" not in str(check)


def test_a_resource_below_the_endpoint_is_good() -> None:
    """D22: `{public_url}/…` is a spelling of ours."""
    environ = {"HF_OIDC_RESOURCE": "http://127.0.0.1:9/acme/model", "HF_ENDPOINT": "http://127.0.0.1:9/"}

    assert examine(environ)["resource"].status is Status.OK


def test_an_empty_resource_is_told_from_none(github: FakeGitHub, service: Service) -> None:
    """An expression that came out empty looks like a forgotten variable."""
    check = examine(job(github, service, HF_OIDC_RESOURCE=""))["resource"]

    assert check.seen == "HF_OIDC_RESOURCE is set, but empty"
    assert "    env:\n      HF_OIDC_RESOURCE: namespace/name" in fix_of(check)


@pytest.mark.parametrize(
    ("endpoint", "status", "fix"),
    [
        ("http://hub.example.org", Status.FAILED, "HF_ENDPOINT: https://hub.example.org"),
        ("hub.example.org", Status.FAILED, "HF_ENDPOINT: https://hub.example.org"),
        ("https://user:swordfishswordfish@hub.example.org", Status.FAILED, "HF_ENDPOINT: https://hub.example.org"),
        ("https://hub.example.org/?x=1", Status.FAILED, "HF_ENDPOINT: https://hub.example.org"),
        ("https://hub.example.org/oauth/token", Status.FAILED, "HF_ENDPOINT: https://hub.example.org"),
        ("https://hub.example.org:44x", Status.FAILED, "HF_ENDPOINT: https://hub.example.org"),
        ("https://hugingface.co", Status.WARNING, "HF_ENDPOINT: https://huggingface.co"),
        ("https://huggingface.com", Status.WARNING, "HF_ENDPOINT: https://huggingface.co"),
        ("https://Hub.Example.org:443/x", Status.WARNING, "HF_ENDPOINT: https://hub.example.org/x"),
        ("https://hub.example.org/x/", Status.OK, None),
    ],
)
def test_the_endpoint(endpoint: str, status: Status, fix: str | None) -> None:
    """D27 and D19: what cannot be used, and what the service would not know itself by."""
    checks = examine({"GITHUB_ACTIONS": "true", "HF_ENDPOINT": endpoint}, seconds=2)

    assert checks["endpoint"].status is status
    assert fix is None or fix in fix_of(checks["endpoint"])
    assert "swordfish" not in str(checks)
    if status is Status.FAILED:
        assert checks["endpoint"].cause is Cause.CONFIGURATION
        assert checks["reachability"].status is checks["id_token"].status is Status.SKIPPED


def test_clear_text_that_was_allowed_is_still_a_warning() -> None:
    """D27."""
    environ = {"HF_ENDPOINT": "http://hub.example.org:8080", "KEYLESS_INSECURE_HTTP_HOSTS": "hub.example.org"}
    check = examine(environ, seconds=2)["endpoint"]

    assert check.status is Status.WARNING
    assert "https://hub.example.org:8080" in fix_of(check)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("KEYLESS_PRECEDENSE", "KEYLESS_PRECEDENCE"),
        ("KEYLESS_TIMOUT", "KEYLESS_TIMEOUT"),
        ("KEYLES_TIMEOUT", "KEYLESS_TIMEOUT"),
        ("KEYLESS_INSECURE_HTTP_HOST", "KEYLESS_INSECURE_HTTP_HOSTS"),
        ("HF_OIDC_RESSOURCE", "HF_OIDC_RESOURCE"),
        ("HF_OIDC_IDTOKEN", "HF_OIDC_ID_TOKEN"),
        ("hf_endpoint", "HF_ENDPOINT"),  # what starts with hf_ has the shape of a token, and is masked
    ],
)
def test_a_name_with_a_near_miss_is_found(wrong: str, right: str) -> None:
    """The value of a misspelt variable may be a secret; only names are shown."""
    check = examine({wrong: "valuevaluevaluevalue"}, seconds=2)["variables"]

    assert check.status is Status.WARNING
    assert wrong in problem_of(check) or wrong.upper() == right
    assert right in problem_of(check)
    assert right in fix_of(check)
    assert "valuevalue" not in str(check)
    assert near_misses({wrong: "x", right: "y"}) == []


def test_names_that_somebody_reads_are_no_near_misses() -> None:
    """Any of ours, the service's settings (it may share an environment), and what the Hub's client reads."""
    names = [f"KEYLESS_{name.upper()}" for name in Settings.model_fields]
    source = Path(diagnosis.__file__).parents[2]
    ours = {
        name
        for room in ("cli", "client", "http", "providers")
        for file in source.joinpath(room).rglob("*.py")
        if "diagnosis" not in file.parts
        for name in re.findall(r"\bKEYLESS_[A-Z_]*[A-Z]\b", file.read_text())
    }
    hub = [
        "HF_HUB_CACHE",
        "HF_HUB_ENABLE_HF_TRANSFER",
        "HF_HOME",
        "HF_TOKEN",
        "HF_DEBUG",
        "HF_XET_CACHE",
        "HF_ASSETS_CACHE",
    ]

    known = [*names, *hub, *ours, "KEYLESS_CONFIG", "HUGGING_FACE_HUB_TOKEN"]
    assert [name for name in known if near_misses({name: "x"})] == []


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("KEYLESS_PRECEDENCE", "frist", "KEYLESS_PRECEDENCE=first"),
        ("KEYLESS_TIMEOUT", "soon", "KEYLESS_TIMEOUT=30"),
        ("HF_HUB_OFFLINE", "1", "unset HF_HUB_OFFLINE"),
        ("KEYLESS_ID_TOKEN_VAR", "this-is-the-token-itself-0123456789", "KEYLESS_ID_TOKEN_VAR=MY_ID_TOKEN"),
    ],
)
def test_a_variable_that_cannot_work(name: str, value: str, fix: str) -> None:
    """The name and a value that can."""
    check = examine({name: value}, seconds=2)["variables"]

    assert (check.status, check.cause) == (Status.FAILED, Cause.CONFIGURATION)
    assert fix in fix_of(check)


def test_offline_asks_nobody(github: FakeGitHub, service: Service) -> None:
    """HF_HUB_OFFLINE means no network."""
    checks = examine(job(github, service, HF_HUB_OFFLINE="1"), exchange=True)

    assert statuses(checks, Status.SKIPPED) == [
        "id_token",
        "claims",
        "clock",
        "reachability",
        "publisher",
        "exchange",
    ]
    assert (github.mints, service.requests) == (0, [])
    assert checks["exchange"].seen == "not possible: variables failed"


def test_a_stored_token_that_shadows_is_named(github: FakeGitHub, service: Service, tmp_path: Path) -> None:
    """S1: which source wins, how to turn it round; the token itself is not shown."""
    (tmp_path / "token").write_text(STORED)
    home = {"HF_HOME": str(tmp_path)}
    by_file = examine(job(github, service, **home))["token_source"]
    by_variable = examine(job(github, service, HF_TOKEN=STORED))["token_source"]
    first = examine(job(github, service, HF_TOKEN=STORED, KEYLESS_PRECEDENCE="first"))["token_source"]
    alone = examine({"HF_TOKEN": STORED, "HF_ENDPOINT": "http://127.0.0.1:9"})["token_source"]

    assert by_file.status is by_variable.status is Status.WARNING
    assert str(tmp_path / "token") in by_file.seen
    assert "HF_TOKEN wins" in by_variable.seen
    assert "HF_TOKEN: …" in fix_of(by_variable)
    assert "KEYLESS_PRECEDENCE: first" in fix_of(by_variable)
    assert first.seen.startswith("OIDC (KEYLESS_PRECEDENCE=first; HF_TOKEN")
    assert alone.status is Status.OK


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It would stop every call."""
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    check = examine({"HF_HOME": str(tmp_path), "HF_OIDC_RESOURCE": "a/b", "HF_ENDPOINT": "http://127.0.0.1:9"})[
        "token_source"
    ]

    assert (check.status, check.cause) == (Status.FAILED, Cause.CONFIGURATION)


def test_implicit_tokens_switched_off(github: FakeGitHub, service: Service) -> None:
    """huggingface_hub's switch."""
    check = examine(job(github, service, HF_HUB_DISABLE_IMPLICIT_TOKEN="1"))["token_source"]

    assert check.status is Status.WARNING
    assert "HF_HUB_DISABLE_IMPLICIT_TOKEN" in fix_of(check)


# --- the platform ----------------------------------------------------------------------------------------------------


def test_a_choice_that_does_not_exist() -> None:
    """What finding a provider refuses as configuration is the job's author's to mend."""
    check = provider._cannot({}, "https://hub.example.org", OIDCConfigurationError("there is no such provider"))

    assert (check.status, check.cause) == (Status.FAILED, Cause.CONFIGURATION)
    assert "HF_OIDC_ID_TOKEN" in fix_of(check)


def test_a_job_without_permission(github: FakeGitHub, service: Service) -> None:
    """S3: the lines to add, whole."""
    environ = {**job(github, service), **github.job(id_token_permission=False).environ()}
    for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        environ.pop(name)
    checks = examine(environ)

    assert statuses(checks, Status.FAILED) == ["provider"]
    assert checks["provider"].cause is Cause.PROVIDER
    assert "    permissions:\n      id-token: write\n      contents: read" in fix_of(checks["provider"])
    assert "pull request" not in fix_of(checks["provider"])


def event_file(folder: Path, head: str | None) -> str:
    repository = None if head is None else {"full_name": head}
    event = {"pull_request": {"head": {"repo": repository}, "base": {"repo": {"full_name": "acme/widgets"}}}}
    (folder / "event.json").write_text(json.dumps(event))
    return str(folder / "event.json")


@pytest.mark.parametrize(
    ("head", "actor", "told"),
    [
        ("mallory/widgets", "mallory", "the fork mallory/widgets"),
        (None, "mallory", "the fork (deleted)"),
        ("acme/widgets", "dependabot[bot]", "Dependabot"),
    ],
)
def test_a_strangers_pull_request_is_explained(tmp_path: Path, head: str | None, actor: str, told: str) -> None:
    """No permission helps there, so none is advised."""
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": event_file(tmp_path, head),
        "GITHUB_ACTOR": actor,
    }
    check = examine(environ, seconds=2)["provider"]

    assert told in problem_of(check)
    assert "id-token: write" not in fix_of(check)
    assert "    on:\n      push:" in fix_of(check)


def test_ones_own_pull_request_lacks_the_permission(tmp_path: Path) -> None:
    """Not every pull request is a stranger's; without the event's file both are told."""
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "HF_ENDPOINT": "http://127.0.0.1:9"}
    own = examine({**environ, "GITHUB_EVENT_PATH": event_file(tmp_path, "acme/widgets")})["provider"]
    (tmp_path / "event.json").write_text("[]")
    unknown = examine({**environ, "GITHUB_EVENT_PATH": str(tmp_path / "event.json")})["provider"]

    assert "id-token: write" in fix_of(own)
    assert "id-token: write" in fix_of(unknown)


def test_a_container_that_got_half_of_it(github: FakeGitHub, service: Service) -> None:
    """`docker run -e` with one of the two variables."""
    environ = job(github, service)
    del environ["ACTIONS_ID_TOKEN_REQUEST_URL"]
    check = examine(environ)["provider"]

    assert problem_of(check).startswith("ACTIONS_ID_TOKEN_REQUEST_URL is missing")
    assert "-e ACTIONS_ID_TOKEN_REQUEST_URL -e ACTIONS_ID_TOKEN_REQUEST_TOKEN" in fix_of(check)


@pytest.mark.parametrize(
    ("markers", "seen", "fix"),
    [
        ({"GITHUB_ACTIONS": "true", "ACT": "true"}, "act", "HF_OIDC_ID_TOKEN"),
        ({"GITHUB_ACTIONS": "true", "GITEA_ACTIONS": "true"}, "Gitea Actions", "HF_OIDC_ID_TOKEN"),
        ({"CI": "true", "TRAVIS": "true"}, "Travis CI", "HF_OIDC_ID_TOKEN"),
        ({"CI": "true"}, "no CI platform", "audience http://127.0.0.1:9"),
        ({"GITHUB_ACTIONS": "1"}, "GITHUB_ACTIONS='1'", "HF_OIDC_ID_TOKEN"),
        ({"GITLAB_CI": "true"}, "GitLab", "    id_tokens:\n      HF_OIDC_ID_TOKEN:\n        aud: http://127.0.0.1:9"),
        ({"KEYLESS_ID_TOKEN_VAR": "MINE"}, "", "Fill MINE"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_platforms_that_were_near(markers: dict[str, str], seen: str, fix: str) -> None:
    """S2, S5: what was recognised, and how a token is handed over there."""
    check = examine({**markers, "HF_ENDPOINT": "http://127.0.0.1:9"})["provider"]

    assert (check.status, check.cause) == (Status.FAILED, Cause.PROVIDER)
    assert seen in check.seen
    assert fix in fix_of(check)


def test_a_token_handed_over_beside_a_platform_that_mints(github: FakeGitHub, service: Service) -> None:
    """The order is told: an explicit token wins."""
    checks = examine(job(github, service, HF_OIDC_ID_TOKEN=github.mint(service.url)))

    assert checks["provider"].seen == (
        "an id token handed over in HF_OIDC_ID_TOKEN (also seen: GitHub Actions, which could mint)"
    )
    assert github.mints == 0
    assert checks["id_token"].status is Status.OK


# --- the id token ----------------------------------------------------------------------------------------------------


def test_a_wrong_audience_is_reported_and_the_rest_still_shown(
    github: FakeGitHub, service: Service, issuer: RecordingIssuer
) -> None:
    """S5: nothing is sent; the claims help nevertheless."""
    gitlab = FakeCI.gitlab(issuer, audience="https://other.example.org")
    environ = {**gitlab.environ(), "HF_ENDPOINT": service.url, "HF_OIDC_RESOURCE": "acme/model"}
    checks = examine(environ, issuer, exchange=True)

    assert statuses(checks, Status.FAILED) == ["id_token"]
    assert checks["id_token"].cause is Cause.CONFIGURATION
    assert "aud https://other.example.org" in checks["id_token"].seen
    assert f"        aud: {service.url}" in fix_of(checks["id_token"])
    assert "project acme/widgets (project_id 20, namespace_id 72), branch main (protected)" in checks["claims"].seen
    assert service.count("/oauth/token") == 0


@dataclass(frozen=True)
class In:
    """A time in so many seconds from when the test runs."""

    seconds: int


@pytest.mark.parametrize(
    ("claims", "status", "problem"),
    [
        ({"exp": In(-60)}, Status.FAILED, "ended"),
        ({"exp": In(-6000)}, Status.FAILED, "expired"),
        ({"exp": In(50)}, Status.WARNING, "cannot be renewed"),
        ({"exp": DROP}, Status.FAILED, "no usable `exp`"),
        ({"exp": 10**400}, Status.FAILED, "no usable `exp`"),
        ({"iss": DROP}, Status.FAILED, "names no issuer"),
    ],
    ids=["just ended", "long ended", "ends soon", "no exp", "huge exp", "no issuer"],
)
def test_what_is_wrong_with_a_handed_over_token(
    service: Service, issuer: RecordingIssuer, claims: dict[str, object], status: Status, problem: str
) -> None:
    """Life and issuer, before anything is sent."""
    now = int(time.time())  # of the test, not of its collection: a long run must not make a token older
    said = {name: now + value.seconds if isinstance(value, In) else value for name, value in claims.items()}
    token = issuer.mint(github_claims(aud=service.url), **said)
    check = examine({"HF_OIDC_ID_TOKEN": token, "HF_ENDPOINT": service.url}, issuer)["id_token"]

    assert check.status is status
    assert problem in problem_of(check)


class FixedAudience(CanMint):
    """A platform that decides about the audience, and has an old token in a cache."""

    def __init__(self, token: str) -> None:
        super().__init__("elsewhere", identity=Secret(token), mints_anew=True, variables=())
        self._token = token

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        return Secret(self._token)


def test_an_audience_that_the_platform_fixes(issuer: RecordingIssuer) -> None:
    """Azure DevOps and others: the service decides; the age of a cached token says nothing about clocks."""
    now = int(time.time())
    token = issuer.mint({"sub": "x", "aud": "api://fixed"}, iat=now - 2000, exp=now + 1000)
    check, id_token, usable = check_id_token(
        FixedAudience(token), "https://hub.example.org", deadline=Deadline(1), environ={}, now=time.time
    )

    assert (check.status, usable) == (Status.WARNING, True)
    assert "its audience is not https://hub.example.org" in problem_of(check)
    assert check_clock(id_token, None, now=now).status is Status.SKIPPED


def test_several_audiences_are_a_warning(service: Service, issuer: RecordingIssuer) -> None:
    """A service refuses a token that is also for another."""
    gitlab = FakeCI.gitlab(issuer, audience=[service.url, "other"])
    check = examine({**gitlab.environ(), "HF_ENDPOINT": service.url}, issuer)["id_token"]

    assert check.status is Status.WARNING
    assert f"      HF_OIDC_ID_TOKEN:\n        aud: {service.url}" in fix_of(check)


def test_what_is_no_token_is_not_shown(service: Service) -> None:
    """S8: an access token, a placeholder, anything."""
    environ = {"HF_OIDC_ID_TOKEN": "not-a-token-but-secret-0123456789", "HF_ENDPOINT": service.url}
    checks = examine(environ)

    assert checks["id_token"].status is Status.FAILED
    assert "placeholder" in fix_of(checks["id_token"])
    assert checks["claims"].status is Status.SKIPPED


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("unauthorized", Cause.PROVIDER),
        ("bad_request", Cause.OTHER),
        ("server_error", Cause.UNREACHABLE),
        ("reset", Cause.UNREACHABLE),
        ("html", Cause.OTHER),
    ],
)
def test_a_platform_that_does_not_mint(github: FakeGitHub, service: Service, fault: str, cause: Cause) -> None:
    """S6: told apart as in every other verb; the service is looked at nevertheless."""
    github.misbehave(fault)
    checks = examine(job(github, service))

    assert statuses(checks, Status.FAILED) == ["id_token"]
    assert checks["id_token"].cause is cause
    assert checks["reachability"].status is Status.OK


def test_a_silent_platform_leaves_time_for_the_service(github: FakeGitHub, service: Service) -> None:
    """The deadline holds, and one silent peer does not hide what the others say."""
    github.misbehave("slow")
    started = time.monotonic()
    checks = examine(job(github, service), seconds=1)

    assert time.monotonic() - started < 1.5
    assert checks["id_token"].cause is Cause.UNREACHABLE
    assert checks["reachability"].status is Status.OK


# --- the claims ------------------------------------------------------------------------------------------------------


def test_what_is_refused_by_default_is_what_the_service_refuses() -> None:
    """V15: one list, in two rooms that may not import each other."""
    assert (GUARDED_EVENTS, GUARDED_SOURCES) == (SERVICE_EVENTS, SERVICE_SOURCES)


@pytest.mark.parametrize(
    ("claims", "problem", "fix"),
    [
        (github_claims(event_name="pull_request_target"), "pull_request_target", "    on:\n      push:"),
        (
            github_claims(job_workflow_ref="acme/shared/.github/workflows/publish.yml@refs/tags/v3"),
            "reusable workflow",
            "--claim job_workflow=acme/shared/.github/workflows/publish.yml",
        ),
        (github_claims(repository_id=DROP), "the ids", "repository_id"),
        (gitlab_claims(pipeline_source="merge_request_event"), "merge_request_event", "rules:"),
        (gitlab_claims(job_project_id="99"), "project 99", "rules:"),
        ({"aud": "x"}, "nothing in this token", "CI job"),
    ],
    ids=["event", "reusable", "no ids", "merge request", "fork", "no subject"],
)
def test_claims_that_publishers_stumble_over(claims: dict[str, object], problem: str, fix: str) -> None:
    """Warnings: the owner may have allowed it."""
    check = check_claims(claims)

    assert check.status is Status.WARNING
    assert problem in problem_of(check)
    assert fix in fix_of(check)


@pytest.mark.parametrize(
    ("claims", "seen"),
    [
        (github_claims(ref="refs/tags/v1.2", environment="production"), ["tag v1.2", "environment production"]),
        (github_claims(ref="refs/pull/7/merge", ref_type="branch"), ["ref refs/pull/7/merge"]),
        (gitlab_claims(ref_protected="false"), ["branch main, file .gitlab-ci.yml", "source push"]),
        ({"sub": "system:serviceaccount:ci:publish"}, ["sub system:serviceaccount:ci:publish"]),
        ({"sub": "x", "pipeline_id": "p-1", "build_branch": "main"}, ["sub x, pipeline_id p-1, build_branch main"]),
        (github_claims(environment="\x1b[31mred\x1b[0m\n::error::"), ["environment red ::error::"]),
    ],
    ids=["tag", "pull", "gitlab", "generic", "buildkite", "hostile"],
)
def test_claims_are_shown_as_publishers_see_them(claims: dict[str, object], seen: list[str]) -> None:
    """Names and ids; control characters do not reach a terminal."""
    shown = check_claims(claims).seen

    assert [part for part in seen if part not in shown] == []
    assert shown.isprintable()


def test_the_command_that_would_trust_this_job() -> None:
    """Every value is quoted for a shell, and a stranger's run is never advised."""
    claims = github_claims(iss="https://token.actions.githubusercontent.com", ref="refs/heads/a;rm -rf $HOME")
    command = publisher_command(claims, "acme/model")
    gitlab = publisher_command(gitlab_claims(iss="https://gitlab.example.org", ref_type="tag"), "acme/model")

    assert command is not None
    assert "keyless trust add acme/model --provider github" in command
    assert "--branch 'a;rm -rf $HOME'" in command
    assert "--repository-id 456789" in command
    assert gitlab is not None
    assert "--issuer https://gitlab.example.org" in gitlab
    assert "--tag main" in gitlab
    assert publisher_command(github_claims(event_name="pull_request"), "acme/model") is None
    assert publisher_command({"sub": "x"}, "acme/model") is None


# --- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "start", "end", "expected"),
    [
        (1000, 1000.4, 1000.9, 0),
        (999, 1000.4, 1000.9, 0.4),
        (1000, 1040, 1041, 39),
        (1000, 940, 950, -50),
        (1000, 990, 1010, 0),
    ],
)
def test_the_distance_of_two_clocks(moment: float, start: float, end: float, expected: float) -> None:
    """A slow answer makes it less certain, never larger."""
    assert distance(moment, start, end) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("skew", "status", "told"),
    [
        (5, Status.OK, None),
        (-5, Status.OK, None),
        (20, Status.WARNING, r"the service's clock is (19|20) s ahead"),
        (-600, Status.FAILED, r"the service's clock is 10 minutes behind"),
    ],
)
def test_the_services_clock(github: FakeGitHub, service: Service, skew: int, status: Status, told: str | None) -> None:
    """Its Date header against ours; the platform agrees with us, so it is the service's that is wrong."""
    document = {"issuer": service.url, "grant_types_supported": [GRANT_TYPE]}
    date = formatdate(int(time.time()) + skew, usegmt=True)
    service.on(METADATA, Answer(200, document, headers={"Date": date}))
    check = examine(job(github, service))["clock"]

    assert check.status is status
    if told is not None:
        assert re.search(told, problem_of(check))
        assert "Tell whoever runs the service" in fix_of(check)


def test_ones_own_clock(github: FakeGitHub, service: Service, issuer: RecordingIssuer) -> None:
    """Both others differ from ours by the same: ours is wrong, by ten minutes."""
    clock = Clock(time.time() + 600)
    checks = examine(job(github, service), issuer, now=clock)
    check = checks["clock"]

    assert statuses(checks, Status.FAILED) == ["clock"]
    assert "this machine's clock is 10 minutes ahead" in problem_of(check)
    assert "    sudo timedatectl set-ntp true" in fix_of(check)


def test_the_platforms_clock(github: FakeGitHub, service: Service, issuer: RecordingIssuer) -> None:
    """An iat that nobody else agrees with."""
    issuer.clock = Clock(time.time() + 150)
    try:
        check = examine(job(github, service), issuer)["clock"]
    finally:
        issuer.clock = time.time

    assert check.status is Status.FAILED
    assert "the CI platform's clock is 2 minutes ahead" in problem_of(check)


def test_a_cached_answer_is_as_old_as_it_says() -> None:
    """RFC 9111 section 5.1: Age counts from Date; nonsense counts for nothing."""
    date = formatdate(1_000_000, usegmt=True)
    aged = check_clock(None, ServiceTime(date, "600", 1_000_600, 1_000_600.1), now=1_000_600.1)
    nonsense = check_clock(None, ServiceTime("yesterday", None, 1, 2), now=2)

    assert aged.status is Status.OK
    assert nonsense.status is Status.SKIPPED


def test_a_handed_over_token_from_the_future(service: Service, issuer: RecordingIssuer) -> None:
    """Its age says nothing, but it cannot be from the future."""
    now = int(time.time())
    token = issuer.mint({"sub": "x", "aud": service.url}, iat=now + 100, exp=now + 400)
    old = issuer.mint({"sub": "x", "aud": service.url}, iat=now - 3000, exp=now + 400)
    service.on(METADATA, Answer(404))

    assert examine({"HF_OIDC_ID_TOKEN": token, "HF_ENDPOINT": service.url})["clock"].status is Status.FAILED
    assert examine({"HF_OIDC_ID_TOKEN": old, "HF_ENDPOINT": service.url})["clock"].status is Status.SKIPPED


# --- the way to the service ------------------------------------------------------------------------------------------


def reach(environ: Mapping[str, str], *, seconds: float = 5) -> Check:
    return examine(environ, seconds=seconds)["reachability"]


def test_a_refused_connection(github: FakeGitHub) -> None:
    """The line that may be wrong is shown as it is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    check = reach({"GITLAB_CI": "true", "HF_ENDPOINT": url})

    assert (check.status, check.cause) == (Status.FAILED, Cause.UNREACHABLE)
    assert "refused the connection" in problem_of(check)
    assert f"    variables:\n      HF_ENDPOINT: {url}" in fix_of(check)


def test_a_silent_service_keeps_the_deadline(service: Service) -> None:
    """Connected, but no answer: not the same as a name or a firewall."""
    service.on(METADATA, Answer(hangs=True))
    started = time.monotonic()
    check = reach({"HF_ENDPOINT": service.url}, seconds=1)

    assert time.monotonic() - started < 1.5
    assert check.cause is Cause.UNREACHABLE
    assert "connected in" in check.seen
    assert "gave no complete answer" in problem_of(check)


def test_a_name_that_does_not_resolve() -> None:
    """A misspelt host."""
    check = reach({"HF_ENDPOINT": "https://hub.exmaple.org"})

    assert check.cause is Cause.UNREACHABLE
    assert "hub.exmaple.org does not resolve" in problem_of(check)
    assert "HF_ENDPOINT=https://hub.exmaple.org" in fix_of(check)


def test_an_untrusted_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that names the authority; another program's bundle is offered where there is one."""
    with Service(tls=server_context()) as tls:
        tls.good()
        unknown = reach({"HF_ENDPOINT": tls.url, "GITHUB_ACTIONS": "true", "REQUESTS_CA_BUNDLE": "/etc/corp/ca.pem"})
        monkeypatch.setenv("SSL_CERT_FILE", str(make_authority("127.0.0.1")[0]))
        known = reach({"HF_ENDPOINT": tls.url})
        monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
        absent = reach({"HF_ENDPOINT": tls.url})

    assert unknown.cause is Cause.UNREACHABLE
    assert "certificate is not trusted" in problem_of(unknown)
    assert "    env:\n      SSL_CERT_FILE: /etc/corp/ca.pem" in fix_of(unknown)
    assert known.status is Status.OK
    assert absent.cause is Cause.CONFIGURATION
    assert "SSL_CERT_FILE" in fix_of(absent)


def test_tls_where_there_is_none(issuer: RecordingIssuer) -> None:
    """A URL with https, to a port that speaks http."""
    check = reach({"HF_ENDPOINT": issuer.origin.replace("http:", "https:")})

    assert "does not speak TLS" in problem_of(check)
    assert "HF_ENDPOINT=https://127.0.0.1" in fix_of(check)


def test_a_proxy_with_an_authority_of_its_own() -> None:
    """A proxy that opens TLS, and the job does not know its authority; its password is not shown."""
    with Service(tls=server_context()) as tls, ConnectProxy(tls.port) as proxy:
        environ = {
            "HF_ENDPOINT": "https://hub.example.org",
            "HTTPS_PROXY": f"http://user:swordfishswordfish@127.0.0.1:{proxy.port}",
        }
        checks = examine(environ)

    assert f"the proxy 127.0.0.1, port {proxy.port}" in checks["reachability"].seen
    assert "through the proxy" in problem_of(checks["reachability"])
    assert "SSL_CERT_FILE=" in fix_of(checks["reachability"])
    assert "swordfish" not in str(checks)


def test_a_proxy_that_refuses() -> None:
    """Whose name and password are missing."""
    with ConnectProxy(9, status=407) as proxy:
        environ = {"HF_ENDPOINT": "https://hub.example.org", "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        check = reach(environ)
    unusable = reach({"HF_ENDPOINT": "https://hub.example.org", "HTTPS_PROXY": "socks5://127.0.0.1:1"})
    unknown = reach({"HF_ENDPOINT": "https://hub.example.org", "HTTPS_PROXY": "http://proxy.example.org:3128"})

    assert "user name and password" in fix_of(check)
    assert unusable.cause is Cause.CONFIGURATION
    assert "NO_PROXY=hub.example.org" in fix_of(unknown)


@pytest.mark.parametrize(
    ("answer", "status", "cause"),
    [
        (Answer(404), Status.OK, None),
        (Answer(200, b"<html>"), Status.OK, None),
        (Answer(200, {"issuer": "https://x", "grant_types_supported": ["authorization_code"]}), Status.OK, None),
        (Answer(302, headers={"Location": "/login"}), Status.OK, None),
        (Answer(301, headers={"Location": "https://other.example.org/x"}), Status.WARNING, None),
        (Answer(403), Status.WARNING, None),
        (Answer(429), Status.WARNING, None),
        (Answer(503), Status.FAILED, Cause.UNREACHABLE),
        (Answer(resets=True), Status.FAILED, Cause.UNREACHABLE),
        (Answer(raw=b"SSH-2.0-x\r\n"), Status.FAILED, Cause.UNREACHABLE),
    ],
    ids=["404", "page", "login only", "own redirect", "redirect", "403", "429", "503", "reset", "ssh"],
)
def test_what_answers_there(service: Service, answer: Answer, status: Status, cause: Cause | None) -> None:
    """The Hub may have no metadata: reachable is enough."""
    service.on(METADATA, answer)
    check = reach({"HF_ENDPOINT": service.url})

    assert (check.status, check.cause) == (status, cause)
    if answer.status == 301:
        assert "HF_ENDPOINT=https://other.example.org" in fix_of(check)


def test_a_service_that_has_another_name(service: Service) -> None:
    """D19: the audience would be wrong, and the service says which is right."""
    service.on(METADATA, service.metadata(issuer="https://hub.example.org"))
    check = reach({"HF_ENDPOINT": service.url})
    service.on(METADATA, service.metadata(issuer="not a url"))
    odd = reach({"HF_ENDPOINT": service.url})

    assert check.cause is odd.cause is Cause.CONFIGURATION
    assert "HF_ENDPOINT=https://hub.example.org" in fix_of(check)


# --- the exchange ----------------------------------------------------------------------------------------------------


def test_an_exchange_is_made_and_taken_back(github: FakeGitHub, service: Service, issuer: RecordingIssuer) -> None:
    """Granted, for how long, and revoked; the token is never shown."""
    check = examine(job(github, service), issuer, exchange=True)["exchange"]

    assert check.status is Status.OK
    assert check.seen == "granted for acme/model, good for 60 minutes (request id req-7), and revoked again"
    assert (service.count("/oauth/token"), service.count("/oauth/revoke")) == (1, 1)
    assert github.mints == 1


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (Answer(404), Status.OK, "takes no token back"),
        (Answer(503), Status.WARNING, "could not be revoked"),
        (Answer(403), Status.WARNING, "could not be revoked"),
    ],
)
def test_a_token_that_stays(github: FakeGitHub, service: Service, answer: Answer, status: Status, told: str) -> None:
    """A service without revocation, or one that fails at it."""
    service.on("/oauth/revoke", answer)
    check = examine(job(github, service), exchange=True)["exchange"]

    assert check.status is status
    assert told in f"{check.seen} {check.problem}"


def test_a_refusal_says_what_the_service_says(github: FakeGitHub, service: Service, issuer: RecordingIssuer) -> None:
    """D12: reason, differing claims, request id, and what would accept this job; an echoed token is masked."""

    def refuse(request: Any) -> Answer:
        token = request.json()["subject_token"]
        description = f"not accepted by your publisher pub_1: environment (absent). You sent {token}"
        body = {"error": "invalid_grant", "error_description": description, "reason": "no_matching_publisher"}
        return Answer(400, body, headers={"X-Request-Id": "req-9"})

    service.on("/oauth/token", refuse)
    check = examine(job(github, service), issuer, exchange=True)["exchange"]

    assert (check.status, check.cause) == (Status.FAILED, Cause.REFUSED)
    assert "reason no_matching_publisher" in check.seen
    assert "environment (absent)" in problem_of(check)
    assert "request id req-9" in problem_of(check)
    assert "    keyless trust add acme/model --issuer" in fix_of(check)
    assert "--workflow train.yml" in fix_of(check)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(400, {"error": "invalid_grant", "reason": "token_replayed"}), Cause.REFUSED),
        (Answer(429, headers={"Retry-After": "7"}), Cause.UNREACHABLE),
        (Answer(200, b"not json"), Cause.OTHER),
        (Answer(resets=True), Cause.UNREACHABLE),
    ],
    ids=["replayed", "busy", "nonsense", "reset"],
)
def test_an_exchange_that_fails(github: FakeGitHub, service: Service, answer: Answer, cause: Cause) -> None:
    """S6: told apart as in every other verb."""
    service.on("/oauth/token", answer)
    check = examine(job(github, service), exchange=True)["exchange"]

    assert (check.status, check.cause) == (Status.FAILED, cause)
    assert fix_of(check)


def test_no_exchange_without_a_resource(github: FakeGitHub, service: Service) -> None:
    """It would only be refused."""
    environ = job(github, service)
    del environ["HF_OIDC_RESOURCE"]
    checks = examine(environ, exchange=True)

    assert (checks["resource"].status, checks["resource"].cause) == (Status.FAILED, Cause.CONFIGURATION)
    assert checks["exchange"].seen == "not possible: resource failed"
    assert service.count("/oauth/token") == 0


# --- the door to the outside -----------------------------------------------------------------------------------------


def test_scrub_masks_whatever_slipped_into_a_text() -> None:
    """S8: whole, in part, in a fix; the indentation of a fix stays."""
    secret = "s3cr3t-abcdefghijklmnopqrstuvwxyz"
    check = failed("x", f"saw {secret}", f"part {secret[5:25]}", f"line\n    - {secret}\x1b[0m", cause=Cause.OTHER)
    shown = scrub(check, [secret, "short", ""])

    assert shown == failed("x", "saw ***", "part ***", "line\n    - ***", cause=Cause.OTHER)


def test_what_looks_like_a_secret() -> None:
    """Shapes only; nothing else can be known."""
    assert looks_secret("hf_abcdefghijklmnopqrstuvwxyz")
    assert not looks_secret("acme/hf_whisper_small_german")
    assert not looks_secret("hf_internal")
    assert not looks_secret("***")


def test_a_report_knows_its_causes() -> None:
    """Warnings do not count."""
    bad = failed("a", "s", "p", "f", cause=Cause.REFUSED)

    assert Report((bad,)).causes == {Cause.REFUSED}
    assert Report(()).ok
    assert not Report((bad,)).ok
