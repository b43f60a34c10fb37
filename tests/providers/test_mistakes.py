"""Each documented mistake has its own hint, on every platform (providers.md, the tables of sections 2 and 3).

A mistake is made for real: in the variables of such a job, against the platform's fake, or in the file that is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyless.errors import MintError, OIDCError
from keyless.http.deadline import Deadline
from keyless.providers.kubernetes import TokenRequest
from keyless.providers.order import ORDER
from keyless.providers.variables import ROWS
from keyless.testing import FakeCI, FakeIssuer, Fault
from keyless.testing.mint_server import Ran
from tests.providers.asking import AUDIENCE, failure
from tests.support.job import make_id_token

NOWHERE = {"PATH": "/nonexistent"}
OTHER = "https://other.example.org"
VARIABLE = "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN"


@dataclass
class Scene:
    """Where a mistake is made."""

    issuer: FakeIssuer
    folder: Path
    stack: ExitStack

    def on(self, platform: AbstractContextManager[Any], **change: object) -> Any:
        """Start a platform and change how it is."""
        running = self.stack.enter_context(platform)
        for name, value in change.items():
            setattr(running, name, value)
        return running

    def file(self, content: str | bytes, mode: int = 0o600) -> str:
        """Write a token file and return its path."""
        path = self.folder / "token"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return str(path)


Make = Callable[[Scene], Mapping[str, str]]


def broken(make: Callable[[FakeIssuer], AbstractContextManager[Any]], fault: Fault) -> Make:
    """Return a job whose platform fails in this way."""

    def environ(scene: Scene) -> Mapping[str, str]:
        platform = scene.on(make(scene.issuer))
        platform.misbehave(fault)
        found: Mapping[str, str] = platform.environ()
        return found

    return environ


def misprinted(make: Callable[[FakeIssuer], AbstractContextManager[Any]], ran: Ran) -> Make:
    """Return a job whose platform's program ends like this."""

    def environ(scene: Scene) -> Mapping[str, str]:
        platform = scene.on(make(scene.issuer))
        platform.misprint(ran)
        found: Mapping[str, str] = platform.environ()
        return found

    return environ


def aws(refusal: str) -> Make:
    return lambda scene: scene.on(FakeCI.aws(scene.issuer, refusal=refusal)).environ()


def connection(scene: Scene) -> Mapping[str, str]:
    platform = scene.on(FakeCI.azure_devops(scene.issuer))
    return {**platform.environ(), "KEYLESS_AZURE_SERVICE_CONNECTION_ID": "somebody-elses"}


def hanging_socket(scene: Scene) -> Mapping[str, str]:
    import socket

    listener = scene.stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(scene.folder / "s"))
    listener.listen()
    return {"SPIFFE_ENDPOINT_SOCKET": f"unix://{scene.folder}/s"}


def other_socket(scene: Scene) -> Mapping[str, str]:
    spire = scene.on(FakeCI.spiffe(scene.issuer), status=12)
    found: Mapping[str, str] = spire.environ()
    return found


def unreadable(scene: Scene) -> Mapping[str, str]:
    """A file that this user may not read; for root there is none, but for a moment it can be somebody else."""
    if os.geteuid() == 0:
        scene.folder.chmod(0o755)
        path = scene.file("x")
        os.seteuid(12_345)
        scene.stack.callback(os.seteuid, 0)
        return {"KEYLESS_ID_TOKEN_FILE": path}
    return {"KEYLESS_ID_TOKEN_FILE": scene.file("x", mode=0)}


GITHUB = {"GITHUB_ACTIONS": "true"}
FORGEJO = {**GITHUB, "GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": ""}
BUILDKITE = {"BUILDKITE": "true", "BUILDKITE_JOB_ID": "1", "BUILDKITE_AGENT_ACCESS_TOKEN": "x"}
AZURE = {"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/acme/oidctoken"}
JENKINS = {"JENKINS_URL": "https://jenkins.example.org/", "BUILD_ID": "42"}
CIRCLECI = {"CIRCLECI": "true"}


def always(**environ: str) -> Make:
    return lambda _: environ


# By platform: what was done or forgotten, how, and a word of what the user is told.
MISTAKES: dict[str, dict[str, tuple[Make, str]]] = {
    "github": {
        "no id-token: write": (always(**GITHUB), "id-token: write"),
        "a pull request from a fork": (always(**GITHUB, GITHUB_EVENT_NAME="pull_request"), "from a fork"),
        "Dependabot": (always(**GITHUB, GITHUB_ACTOR="dependabot[bot]"), "Dependabot"),
        "under act": (always(**GITHUB, ACT="true"), "act runs workflows locally"),
        "a copied request token": (broken(FakeCI.github, Fault.UNAUTHORIZED), "only while its job runs"),
        "a proxy's sign-in page": (broken(FakeCI.github, Fault.HTML), "sign-in page"),
        "an outage": (broken(FakeCI.github, Fault.UNAVAILABLE), "status page"),
    },
    "forgejo": {
        "no enable-openid-connect": (always(**FORGEJO), "enable-openid-connect: true"),
        "a pull request": (always(**FORGEJO, GITHUB_EVENT_NAME="pull_request"), "from a fork"),
        "another run's token": (broken(FakeCI.forgejo, Fault.BAD_REQUEST), "another run"),
        "a copied request token": (broken(FakeCI.forgejo, Fault.UNAUTHORIZED), "only while its job runs"),
        "a task that is over": (broken(FakeCI.forgejo, Fault.SERVER_ERROR), "not running"),
        "Gitea": (always(**GITHUB, GITEA_ACTIONS="true"), "Gitea"),
    },
    "gitlab": {
        "no id_tokens": (always(GITLAB_CI="true"), "id_tokens:"),
        "another aud": (
            lambda scene: FakeCI.gitlab(scene.issuer, audience=OTHER, variable=VARIABLE).environ(),
            "Change its aud",
        ),
        "a name that is empty": (always(GITLAB_CI="true", KEYLESS_ID_TOKEN_VAR="MINE"), "      MINE:"),
    },
    "circleci": {
        "a fork's build": (always(**CIRCLECI, CIRCLE_PR_NUMBER="7"), "forked pull requests"),
        "no token at all": (always(**CIRCLECI), "noexec"),
        "an image without the program": (
            always(**CIRCLECI, **NOWHERE, CIRCLE_OIDC_TOKEN_V2=make_id_token("org")),
            "install the circleci CLI",
        ),
        "an old program": (
            misprinted(FakeCI.circleci, Ran(status=255, complaint="unknown command")),
            "version of the CLI",
        ),
        "an outage": (misprinted(FakeCI.circleci, Ran(status=1, complaint="503")), "Run the job again."),
    },
    "buildkite": {
        "a container without the variables": (always(BUILDKITE="true"), "mount-buildkite-agent: true"),
        "neither endpoint nor program": (always(**BUILDKITE, **NOWHERE), "BUILDKITE_AGENT_ENDPOINT is not set"),
        "an old access token": (broken(FakeCI.buildkite, Fault.UNAUTHORIZED), "only while its job runs"),
        "an outage": (broken(FakeCI.buildkite, Fault.UNAVAILABLE), "status page"),
        "no job API": (
            misprinted(
                lambda issuer: FakeCI.buildkite(issuer, knows_endpoint=False),
                Ran(status=1, complaint="redaction failed"),
            ),
            "redaction",
        ),
    },
    "azure-devops": {
        "the token is not mapped": (always(**AZURE), "SYSTEM_ACCESSTOKEN: $(System.AccessToken)"),
        "the mapping is not resolved": (always(**AZURE, SYSTEM_ACCESSTOKEN="$(System.AccessToken)"), "knows no such"),
        "a fork": (always(**AZURE, SYSTEM_PULLREQUEST_ISFORK="True"), "from a fork"),
        "no address": (always(TF_BUILD="True", SYSTEM_ACCESSTOKEN="x"), "SYSTEM_OIDCREQUESTURI by itself"),
        "a connection that no task uses": (connection, "a task of this job"),
        "a token that is not accepted": (broken(FakeCI.azure_devops, Fault.UNAUTHORIZED), "was not accepted"),
        "a sign-in page": (broken(FakeCI.azure_devops, Fault.HTML), "sign-in page"),
    },
    "bitbucket": {
        "no oidc": (always(BITBUCKET_BUILD_NUMBER="1"), "Write this in the step"),
        "oidc: true alone": (
            lambda scene: FakeCI.bitbucket(scene.issuer).environ(),
            "oidc: true alone",
        ),
    },
    "jenkins": {
        "no binding": (always(**JENKINS), "withCredentials"),
        "another audience": (
            lambda scene: FakeCI.jenkins(scene.issuer, audience=OTHER, variable=VARIABLE).environ(),
            "The credential has another audience",
        ),
        "no Jenkins URL": (always(BUILD_TAG="jenkins-widgets-42"), "JENKINS_URL is not set"),
        "a file outside its block": (
            always(**JENKINS, **{f"{VARIABLE}_FILE": "/nonexistent/token"}),
            "inside its withCredentials block",
        ),
    },
    "google-cloud": {
        "no service account": (
            lambda scene: scene.on(FakeCI.google_cloud(scene.issuer, has_account=False)).environ(),
            "no service account",
        ),
        "metadata blocked": (always(GCE_METADATA_HOST="127.0.0.1:9"), "169.254.169.254"),
        "metadata concealed": (broken(FakeCI.google_cloud, Fault.FORBIDDEN), "concealed"),
        "may not be the other account": (
            lambda scene: scene.on(FakeCI.google_cloud(scene.issuer)).environ(impersonate="a@b"),
            "serviceAccountOpenIdTokenCreator",
        ),
        "a proxy in between": (broken(FakeCI.google_cloud, Fault.EMPTY), "may have answered instead"),
    },
    "aws": {
        "not switched on": (aws("OutboundWebIdentityFederationDisabled"), "enable-outbound-web-identity-federation"),
        "no permission": (aws("AccessDenied"), "sts:GetWebIdentityToken"),
        "a session that ends sooner": (aws("SessionDurationEscalation"), "sooner"),
        "too many tags": (aws("JWTPayloadSizeExceeded"), "tags"),
        "expired credentials": (aws("ExpiredToken"), "have expired"),
        "a key that is not": (aws("InvalidClientTokenId"), "does not exist"),
        "a wrong clock": (aws("RequestExpired"), "clock is off"),
        "too often": (aws("Throttling"), "Try later"),
        "a code of the future": (aws("SomethingNew"), "documentation of AWS STS"),
        "no region": (always(KEYLESS_PROVIDER="aws"), "AWS_REGION"),
        "no credentials": (
            always(KEYLESS_PROVIDER="aws", AWS_REGION="eu-west-1", AWS_EC2_METADATA_DISABLED="true"),
            "AWS_ACCESS_KEY_ID",
        ),
        "keys, and not said to be meant": (always(AWS_ACCESS_KEY_ID="AKIDEXAMPLE"), "KEYLESS_PROVIDER=aws"),
    },
    "kubernetes": {
        "no volume": (always(KUBERNETES_SERVICE_HOST="10.0.0.1"), "Project a token"),
        "the default token": (
            lambda scene: {
                "KEYLESS_KUBERNETES_TOKEN_FILE": scene.file(make_id_token(["https://kubernetes.default.svc"]))
            },
            "for the API server and for nobody else",
        ),
        "a file that was not rotated": (
            lambda scene: {
                "KEYLESS_KUBERNETES_TOKEN_FILE": scene.file(make_id_token([AUDIENCE], lifetime_seconds=-9000))
            },
            "fresh id token",
        ),
        "an empty file": (lambda scene: {"KEYLESS_KUBERNETES_TOKEN_FILE": scene.file("")}, "has not written the token"),
        "chosen outside a pod": (always(KEYLESS_PROVIDER="kubernetes"), "KUBERNETES_SERVICE_HOST is not set"),
    },
    "spiffe": {
        "not registered": (
            lambda scene: scene.on(FakeCI.spiffe(scene.issuer, registered=False)).environ(),
            "selectors",
        ),
        "agent missing": (always(SPIFFE_ENDPOINT_SOCKET="unix:///nonexistent/api.sock"), "mounted here"),
        "an agent that hangs": (hanging_socket, "cut off from its server"),
        "something else there": (other_socket, "other than a SPIFFE workload API"),
        "no absolute path": (always(SPIFFE_ENDPOINT_SOCKET="unix://run/api.sock"), "absolute path and no host"),
        "another machine": (always(SPIFFE_ENDPOINT_SOCKET="tcp://192.0.2.1:8081"), "spiffe-helper"),
    },
    "handed-over": {
        "the named variable is empty": (always(KEYLESS_ID_TOKEN_VAR="MINE"), "Fill MINE"),
        "the token where its name belongs": (always(KEYLESS_ID_TOKEN_VAR="eyJ.a.b"), "names where it is"),
        "a placeholder": (always(HF_OIDC_ID_TOKEN="$(MyToken)"), "unresolved placeholder"),
        "another audience": (always(HF_OIDC_ID_TOKEN=make_id_token(OTHER)), "exactly this audience"),
        "an old token": (always(HF_OIDC_ID_TOKEN=make_id_token(AUDIENCE, lifetime_seconds=-9000)), "fresh id token"),
        "a whole file": (always(HF_OIDC_ID_TOKEN="x" * 40_000), "Something else was put there"),
    },
    "file": {
        "not there": (always(KEYLESS_ID_TOKEN_FILE="/nonexistent/token"), "Check the path"),
        "a directory": (always(KEYLESS_ID_TOKEN_FILE="/"), "A directory holds no token"),
        "unreadable": (unreadable, "fsGroup"),
        "empty": (lambda scene: {"KEYLESS_ID_TOKEN_FILE": scene.file("")}, "has not written the token"),
        "something else": (lambda scene: {"KEYLESS_ID_TOKEN_FILE": scene.file("a b")}, "and nothing else"),
        "another audience": (
            lambda scene: {"KEYLESS_ID_TOKEN_FILE": scene.file(make_id_token(OTHER))},
            "whoever writes the file",
        ),
        "no path": (always(KEYLESS_ID_TOKEN_FILE=f"/{'x' * 5000}"), "must be the path of a file"),
    },
    "command": {
        "no such program": (always(**NOWHERE, KEYLESS_ID_TOKEN_COMMAND="nsc auth"), "Install it in this job"),
        "a quote is not closed": (always(KEYLESS_ID_TOKEN_COMMAND="tool 'x"), "as in a shell"),
        "it fails": (always(PATH=os.defpath, KEYLESS_ID_TOKEN_COMMAND="false"), "Run it by hand"),
        "it prints nothing": (always(PATH=os.defpath, KEYLESS_ID_TOKEN_COMMAND="true"), "alone and on one line"),
        "it hangs": (always(PATH=os.defpath, KEYLESS_ID_TOKEN_COMMAND="sleep 60"), "must not ask"),
        "another audience": (
            always(PATH=os.defpath, KEYLESS_ID_TOKEN_COMMAND=f"echo {make_id_token(OTHER)}"),
            "in its words stands for it",
        ),
    },
    "terraform-cloud": {
        "no audience": (always(TFC_RUN_ID="run-1"), "Add an environment variable"),
        "another audience": (
            always(TFC_RUN_ID="run-1", TFC_WORKLOAD_IDENTITY_TOKEN=make_id_token(OTHER)),
            "with another audience",
        ),
    },
    "bitrise": {
        "no step": (always(BITRISE_IO="true"), "Put this step before"),
        "another audience": (
            always(BITRISE_IO="true", BITRISE_IDENTITY_TOKEN=make_id_token(OTHER)),
            "with another audience",
        ),
    },
    "semaphore": {"no plan": (always(SEMAPHORE="true"), "paid plan")},
    "spacelift": {"no file": (always(KEYLESS_PROVIDER="spacelift"), "SPACELIFT_OIDC_TOKEN")},
    "vercel": {"not switched on": (always(VERCEL="1"), "OIDC federation")},
    "harness": {"no connector": (always(HARNESS_BUILD_ID="1"), "OIDC connector")},
    "pulumi": {"no file": (always(KEYLESS_PROVIDER="pulumi"), "PULUMI_OIDC_TOKEN")},
    "env0": {"not switched on": (always(KEYLESS_PROVIDER="env0"), "Switch on OIDC")},
}


def make(scene: Scene, name: str, mistake: str) -> OIDCError:
    environ = MISTAKES[name][mistake][0](scene)
    return failure(environ, seconds=1.0)


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_its_own_hint(issuer: FakeIssuer, tmp_path: Path, name: str) -> None:
    """Must hold: the hint says what to do about this mistake, and no other mistake of the platform has the same."""
    hints: dict[str, str] = {}
    for mistake, (_, word) in MISTAKES[name].items():
        folder = tmp_path / f"{len(hints)}"
        folder.mkdir()
        with ExitStack() as stack:
            error = make(Scene(issuer, folder, stack), name, mistake)
        hints[mistake] = error.hint or ""

        assert word in hints[mistake], (mistake, error.message, error.hint)
    assert len(set(hints.values())) == len(hints)


def test_every_provider_is_in_the_table() -> None:
    """One that is added brings its mistakes along."""
    assert set(MISTAKES) == {entry.NAME for entry in ORDER}
    assert set(ROWS) <= set(MISTAKES)


@pytest.mark.parametrize(
    ("fault", "word"),
    [(Fault.UNAUTHORIZED, "API token"), (Fault.FORBIDDEN, "serviceaccounts/token"), (Fault.NOT_FOUND, "gone")],
)
def test_what_the_cluster_refuses(issuer: FakeIssuer, fault: Fault, word: str) -> None:
    """TokenRequest needs a right of its own."""
    with FakeCI.kubernetes(issuer, may_create_tokens=True) as pod:
        pod.misbehave(fault)
        found = TokenRequest(pod.origin, pod.service_account_directory)
        with pytest.raises(MintError) as caught:
            found.mint(AUDIENCE, deadline=Deadline(5), environ={})

    assert word in (caught.value.hint or "")
