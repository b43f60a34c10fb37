"""`keyless doctor` in broken setups, as people have them: the first three lines name the cause and the line to change.

The service is a real process; so are the platforms' endpoints, and the proxy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from email.utils import formatdate

import pytest

from keyless.client.exchange import GRANT_TYPE
from keyless.resource import parse_resource
from keyless.server.store.admin import NewPublisher
from keyless.testing import FakeCI, FakeIssuer, github_claims
from tests.support.certificates import server_context
from tests.support.job import run_cli
from tests.support.proxy import ConnectProxy
from tests.support.running import RunningService, free_port
from tests.support.stub import Answer, StubServer

pytestmark = pytest.mark.slow  # each row is a process, and the service is one

Environ = dict[str, str]


@dataclass
class World:
    """A service that trusts acme/widgets on main with acme/model, and one environment with acme/guarded."""

    service: RunningService
    issuer: FakeIssuer
    stack: ExitStack

    def github(self, claims: Mapping[str, object] | None = None, /, **more: str) -> Environ:
        """Return the environment of a job on GitHub; a variable that is given as empty is not there."""
        job = self.stack.enter_context(FakeCI.github(self.issuer, claims))
        environ = {**job.environ(), "HF_ENDPOINT": self.service.url, "HF_OIDC_RESOURCE": "acme/model", **more}
        return {name: value for name, value in environ.items() if value}

    def other(self, **variables: str) -> Environ:
        """Return the environment of a job elsewhere."""
        return {"HF_ENDPOINT": self.service.url, "HF_OIDC_RESOURCE": "acme/model", **variables}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        issuer = stack.enter_context(FakeIssuer())
        service = RunningService(tmp_path_factory.mktemp("doctor"), issuer)
        administration = service.administration()
        for name, claims in (
            ("acme/guarded", {"repository": ["acme/widgets"], "environment": ["production"]}),
            ("acme/workflow", {"repository": ["acme/widgets"], "branch": ["main"], "workflow": ["release.yml"]}),
        ):
            administration.add_publisher(
                NewPublisher(
                    resource=parse_resource(name),
                    issuer_url=issuer.url,
                    claims=claims,
                    pins={"repository_id": "456789", "repository_owner_id": "123456"},
                )
            )
        administration.close()
        stack.callback(service.stop)
        service.start()
        yield World(service, issuer, stack)


NO_PERMISSION = {"ACTIONS_ID_TOKEN_REQUEST_URL": "", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}
REUSABLE = {
    "workflow_ref": "acme/widgets/.github/workflows/train.yml@refs/heads/main",
    "job_workflow_ref": "other/shared/.github/workflows/publish.yml@refs/heads/main",
}


def handed_over(world: World, **claims: object) -> str:
    return world.issuer.mint(github_claims(**{"aud": world.service.url, **claims}))


def late_service(world: World) -> str:
    """Return the URL of a service whose clock is ten minutes ahead of everybody's."""
    stub = world.stack.enter_context(StubServer())
    document = {"issuer": stub.url, "grant_types_supported": [GRANT_TYPE]}
    late = formatdate(time.time() + 600, usegmt=True)
    stub.on("/.well-known/oauth-authorization-server", Answer(200, document, headers={"Date": late}))
    return stub.url


def inspected(world: World) -> Environ:
    """Return the variables of a job behind a proxy that opens TLS with an authority of its own."""
    target = world.stack.enter_context(StubServer(tls=server_context()))
    proxy = world.stack.enter_context(ConnectProxy(target.port))
    return {"HF_ENDPOINT": "https://hub.example.org", "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}


# What is broken, the job's environment, and what the first three lines must name: the cause, then the fix.
SETUPS: dict[str, tuple[Callable[[World], Environ], str, str]] = {
    "github: no id-token permission": (lambda w: w.github(**NO_PERMISSION), "lacks id-token: write", "id-token: write"),
    "github: a fork's pull request": (
        lambda w: w.github(**NO_PERMISSION, GITHUB_EVENT_NAME="pull_request"),
        "pull request",
        "fork",
    ),
    "github: under act": (lambda w: w.github(**NO_PERMISSION, ACT="true"), "act", "HF_OIDC_ID_TOKEN"),
    "github: half of the variables in a container": (
        lambda w: w.github(ACTIONS_ID_TOKEN_REQUEST_URL=""),
        "ACTIONS_ID_TOKEN_REQUEST_URL is missing",
        "-e ACTIONS_ID_TOKEN_REQUEST_URL",
    ),
    "github: another branch": (lambda w: w.github({"ref": "refs/heads/dev"}), "branch (the job's is dev)", "branches:"),
    "github: another environment": (
        lambda w: w.github({"environment": "staging"}, HF_OIDC_RESOURCE="acme/guarded"),
        "environment (the job's is staging)",
        "environment: THE ENVIRONMENT",
    ),
    "github: the environment was forgotten": (
        lambda w: w.github(HF_OIDC_RESOURCE="acme/guarded"),
        "environment (the job has none)",
        "environment: THE ENVIRONMENT",
    ),
    "github: another workflow file": (
        lambda w: w.github(HF_OIDC_RESOURCE="acme/workflow"),
        "workflow (the job's is train.yml)",
        "below .github/workflows/",
    ),
    "github: a renamed repository": (
        lambda w: w.github(
            {"repository": "acme/gadgets", "workflow_ref": "acme/gadgets/.github/workflows/train.yml@refs/heads/main"}
        ),
        "repository (the job's is acme/gadgets)",
        "renamed or moved",
    ),
    "github: a reusable workflow": (lambda w: w.github(REUSABLE), "workflow", "keyless trust add"),
    "github: pull_request_target": (
        lambda w: w.github({"event_name": "pull_request_target"}),
        "event_name (the job's is pull_request_target)",
        "push:",
    ),
    "github: a stranger's repository": (
        lambda w: w.github({"repository_id": "1", "repository_owner_id": "2"}),
        "no trusted publisher of acme/model is for this repository",
        "keyless trust add acme/model",
    ),
    "gitlab: no id_tokens": (lambda w: w.other(GITLAB_CI="true"), "id_tokens", "aud: http://127.0.0.1"),
    "gitlab: another audience": (
        lambda w: w.other(GITLAB_CI="true", HF_OIDC_ID_TOKEN=handed_over(w, aud="https://other.example.org")),
        "https://other.example.org",
        "aud: http://127.0.0.1",
    ),
    "forgejo: the feature is off": (
        lambda w: w.other(
            GITHUB_ACTIONS="true",
            GITEA_ACTIONS="true",
            FORGEJO_ACTIONS="true",
            ACTIONS_ID_TOKEN_REQUEST_URL="",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="",
        ),
        "Forgejo",
        "enable-openid-connect: true",
    ),
    "circleci: no token": (lambda w: w.other(CIRCLECI="true", PATH="/nowhere"), "CircleCI", "circleci"),
    "buildkite: a container without the agent": (
        lambda w: w.other(BUILDKITE="true", PATH="/nowhere"),
        "Buildkite",
        "BUILDKITE_AGENT_ACCESS_TOKEN",
    ),
    "azure: the token is not mapped": (
        lambda w: w.other(TF_BUILD="True", SYSTEM_OIDCREQUESTURI="https://dev.azure.com/acme/oidctoken"),
        "SYSTEM_ACCESSTOKEN",
        "SYSTEM_ACCESSTOKEN: $(System.AccessToken)",
    ),
    "bitbucket: no oidc": (lambda w: w.other(BITBUCKET_BUILD_NUMBER="42"), "oidc", "audiences:"),
    "jenkins: no binding": (
        lambda w: w.other(JENKINS_URL="https://jenkins.example.org/", BUILD_ID="42"),
        "Jenkins",
        "withCredentials",
    ),
    "kubernetes: no projected token": (
        lambda w: w.other(KUBERNETES_SERVICE_HOST="10.0.0.1"),
        "pod",
        "serviceAccountToken",
    ),
    "a token that is over": (
        lambda w: w.other(HF_OIDC_ID_TOKEN=handed_over(w, iat=int(time.time()) - 4000, exp=int(time.time()) - 400)),
        "expired 7 minutes ago",
        "fresh id token",
    ),
    "a placeholder that nobody filled": (
        lambda w: w.other(HF_OIDC_ID_TOKEN="$(MyToken)"),
        "HF_OIDC_ID_TOKEN",
        "unresolved placeholder",
    ),
    "the endpoint's name is misspelt": (
        lambda w: w.github(HF_ENDPOINT="https://hub.exmaple.org"),
        "hub.exmaple.org",  # it does not resolve; with a slow resolver, not in time
        "HF_ENDPOINT: https://hub.exmaple.org",
    ),
    "the endpoint is http": (
        lambda w: w.github(HF_ENDPOINT="http://hub.example.org"),
        "http",
        "https://hub.example.org",
    ),
    "nothing listens there": (
        lambda w: w.github(HF_ENDPOINT=f"http://127.0.0.1:{free_port()}"),
        "refused the connection",
        "HF_ENDPOINT: http://127.0.0.1",
    ),
    "a proxy whose authority is unknown": (lambda w: w.github(**inspected(w)), "not trusted", "SSL_CERT_FILE"),
    "a clock ten minutes off": (lambda w: w.github(HF_ENDPOINT=late_service(w)), "10 minutes ahead", "NTP"),
    "the resource is misspelt": (
        lambda w: w.github(HF_OIDC_RESOURCE="dataset/acme/data"),
        "dataset/acme/data",
        "HF_OIDC_RESOURCE: datasets/acme/data",
    ),
    "a variable's name is misspelt": (
        lambda w: w.github(HF_OIDC_RESOURCE="", HF_OIDC_RESOURSE="acme/model"),
        "HF_OIDC_RESOURSE",
        "HF_OIDC_RESOURCE",
    ),
}


@pytest.mark.parametrize("name", SETUPS)
def test_the_first_three_lines_name_cause_and_fix(world: World, name: str) -> None:
    """S6: whoever reads only the top of a red step's log knows what to change."""
    setup, cause, fix = SETUPS[name]
    result = run_cli("doctor", "--timeout", "10", environ=setup(world))
    top = "\n".join(result.stdout.splitlines()[:3])

    assert result.stderr == ""
    assert cause in top, result.stdout
    assert fix in top, result.stdout


def test_a_setup_in_which_nothing_is_broken(world: World) -> None:
    """S10: which publisher accepts the job, without a token being granted or spent."""
    environ = world.github()
    first, second = (run_cli("doctor", environ=environ) for _ in range(2))

    for result in (first, second):
        assert result.returncode == 0, result.stdout
        assert "accepts this job for acme/model" in " ".join(result.stdout.split())


def test_a_table_of_more_than_twenty() -> None:
    """Each row is a mistake of its own."""
    assert len(SETUPS) >= 20
    assert len({(cause, fix) for _, cause, fix in SETUPS.values()}) == len(SETUPS)
