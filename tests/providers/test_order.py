"""Who is asked, in which order; what the user may decide about it; and what it costs."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import Error, IdTokenPermissionError, OIDCConfigurationError, ProviderNotFoundError
from keyless.providers.detect import detect_provider, find_mint
from keyless.providers.order import NAMES, ORDER, identity_variables
from keyless.testing import FakeCI, FakeGitHub, FakeIssuer
from keyless.testing.buildkite import FakeBuildkite
from keyless.testing.circleci import FakeCircleCI
from keyless.testing.forgejo import FakeForgejo
from keyless.testing.google_cloud import FakeGoogleCloud
from keyless.testing.jenkins import FakeJenkins
from keyless.testing.kubernetes import FakeKubernetes
from tests.providers.asking import AUDIENCE, claims_of, failure, find
from tests.support.job import make_id_token, run_cli

ACT = {"GITHUB_ACTIONS": "true", "ACT": "true"}
MACHINES = {
    "GCE_METADATA_HOST": "127.0.0.1:1",
    "CODEBUILD_BUILD_ARN": "arn:aws:codebuild:eu-west-1:123456789012:build/x",
    "AWS_REGION": "eu-west-1",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KEYLESS_KUBERNETES_TOKEN_FILE": "/var/run/x",
    "SPIFFE_ENDPOINT_SOCKET": "unix:///run/x",
}


def test_entries_agree_with_their_modules() -> None:
    """The table says what each module says; names are unique; kinds come in their order."""
    kinds = [entry.kind for entry in ORDER]

    assert [entry.load().NAME for entry in ORDER] == list(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    assert kinds == sorted(kinds, key=["source", "ci", "machine"].index)
    assert all(entry.TITLE and entry.SETUP and "\n" not in entry.SETUP for entry in ORDER)
    assert NAMES.index("forgejo") < NAMES.index("github")


@pytest.mark.parametrize("entry", ORDER, ids=NAMES)
def test_markers_are_necessary(entry: object) -> None:
    """A module that would answer without one of its markers would never be asked."""
    assert entry in ORDER
    for name in (name for other in ORDER for name in other.markers):
        for value in ("true", "True", "1", "https://x", "/x", "jenkins-x"):
            if isinstance(entry, type(ORDER[0])) and name not in entry.markers:
                assert entry.load().detect({name: value}, AUDIENCE) is None, name


# --- nested cases ---


def test_a_gitlab_job_on_a_google_machine(issuer: FakeIssuer) -> None:
    """providers.md 1.2: hosted runners are such machines; the job's token is wanted, not the machine's."""
    with FakeGoogleCloud(issuer) as cloud:
        ci = FakeCI.gitlab(issuer, audience=AUDIENCE, variable="HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN")
        environ = {**cloud.environ(), **ci.environ()}

        assert detect_provider(environ) == "gitlab"
        assert "project_id" in claims_of(environ)
    assert cloud.mints == 0


def test_a_buildkite_job_on_a_google_machine(issuer: FakeIssuer) -> None:
    """As above."""
    with FakeGoogleCloud(issuer) as cloud, FakeBuildkite(issuer) as ci:
        assert "pipeline_id" in claims_of({**cloud.environ(), **ci.environ()})
    assert cloud.mints == 0


def test_a_circleci_job_on_a_google_machine(issuer: FakeIssuer) -> None:
    """As above."""
    with FakeGoogleCloud(issuer) as cloud, FakeCircleCI(issuer) as ci:
        assert "oidc.circleci.com/project-id" in claims_of({**cloud.environ(), **ci.environ()})
    assert cloud.mints == 0


def test_a_github_runner_in_a_pod(issuer: FakeIssuer, github_ci: FakeGitHub) -> None:
    """The job is GitHub's, also when the pod has a token of its own."""
    with FakeKubernetes(issuer, audience=AUDIENCE) as pod:
        environ = {**pod.environ(), **github_ci.environ()}

        assert claims_of(environ)["repository"] == "acme/widgets"


def test_a_github_job_without_permission_in_a_pod_is_not_the_pod(issuer: FakeIssuer, github_ci: FakeGitHub) -> None:
    """S6: what cannot mint is final; the pod's identity is not a way out."""
    with FakeKubernetes(issuer, audience=AUDIENCE) as pod:
        environ = {**pod.environ(), **github_ci.job(id_token_permission=False).environ()}

        assert isinstance(failure(environ), IdTokenPermissionError)


def test_forgejos_runner_sets_all_of_githubs_markers(issuer: FakeIssuer) -> None:
    """The token comes from Forgejo, with its claims."""
    with FakeForgejo(issuer) as ci:
        assert claims_of(ci.environ())["workflow"] == "publish.yml"


def test_act_inside_a_job_that_may_mint(github_ci: FakeGitHub) -> None:
    """The variables were passed on by hand; without them there is nothing."""
    assert detect_provider({**github_ci.environ(), "ACT": "true"}) == "github"
    assert detect_provider(ACT) is None
    assert isinstance(failure(ACT), ProviderNotFoundError)


def test_a_jenkins_agent_on_a_google_machine(issuer: FakeIssuer) -> None:
    """The build's credential counts, and without one the machine's identity does not."""
    with FakeGoogleCloud(issuer) as cloud:
        variable = "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN"
        ci = FakeJenkins(issuer, audience=AUDIENCE, variable=variable)
        bound = claims_of({**cloud.environ(), **ci.environ()})
        unbound = failure({**cloud.environ(), **FakeJenkins(issuer, bound=False).environ()})

    assert "build_number" in bound
    assert isinstance(unbound, IdTokenPermissionError)
    assert cloud.mints == 0


def test_two_platforms_at_once_and_an_explicit_choice(issuer: FakeIssuer, github_ci: FakeGitHub) -> None:
    """GitHub starts a Buildkite step, say: the order decides, until the user does."""
    with FakeBuildkite(issuer) as buildkite:
        both = {**buildkite.environ(), **github_ci.environ()}

        assert "repository" in claims_of(both)
        assert "pipeline_slug" in claims_of({**both, "KEYLESS_PROVIDER": "buildkite"})
        assert detect_provider({**both, "KEYLESS_PROVIDER": " Buildkite "}) == "buildkite"


def test_a_choice_beats_a_token_handed_over(github_ci: FakeGitHub) -> None:
    """providers.md 1.2: an explicit choice first, then named sources, then detection."""
    handed = {**github_ci.environ(), "HF_OIDC_ID_TOKEN": make_id_token(AUDIENCE, handed=True)}

    assert claims_of(handed)["handed"] is True
    assert "repository" in claims_of({**handed, "KEYLESS_PROVIDER": "github"})
    assert claims_of({**handed, "KEYLESS_PROVIDER": "handed-over"})["handed"] is True


@pytest.mark.parametrize("marker", ["GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "TF_BUILD", "SEMAPHORE"])
def test_every_ci_marker_wins_over_every_machine(marker: str) -> None:
    """A CI job on somebody's machine is that job."""
    named = detect_provider({**MACHINES, marker: "true"})

    assert next(entry.kind for entry in ORDER if named == entry.NAME) == "ci"


def test_machines_have_an_order_too() -> None:
    """Switched off one after the other."""
    seen: list[str] = []
    for _ in range(4):
        seen.append(detect_provider({**MACHINES, "KEYLESS_DISABLE_PROVIDERS": ",".join(seen)}) or "")

    assert seen == ["google-cloud", "aws", "kubernetes", "spiffe"]


# --- what the user decides ---


@pytest.mark.parametrize("name", NAMES)
def test_each_detector_has_an_off_switch(name: str) -> None:
    """Only one other client has them (providers.md 10.14)."""
    environ = {
        **MACHINES,
        **{marker: "true" for entry in ORDER for marker in entry.markers if entry.NAME == name},
        "KEYLESS_DISABLE_PROVIDERS": f"{name}, {name.upper()}",
    }

    assert detect_provider(environ) != name
    assert all(entry.NAME != name for entry in ORDER if entry.NAME == detect_provider(environ))


def test_a_switched_off_platform_is_passed_over(github_ci: FakeGitHub) -> None:
    """The next one is asked."""
    environ = {**github_ci.environ(), "GITLAB_CI": "true", "KEYLESS_DISABLE_PROVIDERS": "github"}

    assert detect_provider(environ) == "gitlab"


@pytest.mark.parametrize(
    "environ",
    [
        {"KEYLESS_PROVIDER": "teamcity"},
        {"KEYLESS_DISABLE_PROVIDERS": "github,gitlb"},
        {"KEYLESS_PROVIDER": "github", "KEYLESS_DISABLE_PROVIDERS": "github"},
    ],
    ids=["unknown choice", "misspelt switch", "both"],
)
def test_decisions_that_cannot_work(environ: dict[str, str]) -> None:
    """A misspelt name would leave a provider on: exit 2."""
    with pytest.raises(OIDCConfigurationError):
        detect_provider(environ)
    assert isinstance(failure(environ), OIDCConfigurationError)


def test_a_token_in_the_wrong_variable_is_not_shown() -> None:
    """S8."""
    token = make_id_token(AUDIENCE)

    assert token[:20] not in str(failure({"KEYLESS_PROVIDER": token}))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"google-cloud", "aws", "kubernetes"}])
def test_a_choice_that_is_not_there_says_what_it_needs(name: str) -> None:
    """No fall-through to anything else."""
    error = failure({"KEYLESS_PROVIDER": name, "KUBERNETES_SERVICE_HOST": "10.0.0.1"})

    assert error.hint


# --- any environment ---

NAMED = sorted({marker for entry in ORDER for marker in entry.markers} | {
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "AWS_ACCESS_KEY_ID", "AWS_REGION", "ACT",
    "BUILDKITE_AGENT_ENDPOINT", "BUILDKITE_JOB_ID", "BUILD_ID", "CIRCLE_OIDC_TOKEN", "GITEA_ACTIONS",
    "GCE_METADATA_TIMEOUT", "GOOGLE_SERVICE_ACCOUNT_NAME", "KEYLESS_DISABLE_PROVIDERS", "KEYLESS_PROVIDER",
    "KUBERNETES_SERVICE_PORT", "NO_GCE_CHECK", "SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI",
    "TFC_WORKLOAD_IDENTITY_TOKEN_X",
})  # fmt: skip
VALUES = st.sampled_from(["", " ", "true", "True", "1", "$(System.AccessToken)", "a.b.c", "unix:///x", "tcp:x", *NAMES])


@given(st.dictionaries(st.sampled_from(NAMED), VALUES | st.text(max_size=30), max_size=12), st.text(max_size=30))
def test_no_environment_crashes_detection(environ: dict[str, str], audience: str) -> None:
    """Detection ends in a name, a way to mint, or an error of ours; it reads variables only."""
    for ask in (lambda: detect_provider(environ), lambda: find_mint(environ, audience)):
        with suppress(Error):
            ask()


# --- what it costs ---


@pytest.mark.parametrize(
    ("environ", "loaded"),
    [({}, set()), ({"GITHUB_ACTIONS": "true"}, {"github"}), ({"CIRCLECI": "true"}, {"circleci"})],
    ids=["none", "github", "circleci"],
)
def test_a_job_loads_its_own_platform_only(environ: dict[str, str], loaded: set[str]) -> None:
    """D18: the cold path of `keyless token` does not pay for twenty platforms."""
    program = (
        "import json, sys; from keyless.providers.detect import detect_provider; detect_provider();"
        "print(json.dumps([name for name in sys.modules if name.startswith('keyless.providers.')]))"
    )
    result = run_cli(environ={**environ, "PYTHONPATH": ":".join(sys.path)}, program=("-S", "-c", program))
    rooms = {name.removeprefix("keyless.providers.") for name in json.loads(result.stdout)}

    assert rooms == {"base", "detect", "order", *loaded}


def test_the_variables_of_the_jobs_identity_are_known() -> None:
    """D23: what `keyless exec` keeps from the command."""
    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
        "BITBUCKET_STEP_OIDC_TOKEN": "x",
        "BUILDKITE_AGENT_ACCESS_TOKEN": "x",
        "CIRCLE_OIDC_TOKEN_V2": "x",
        "KEYLESS_ID_TOKEN_COMMAND": "x",
        "SYSTEM_ACCESSTOKEN": "x",
        "TFC_WORKLOAD_IDENTITY_TOKEN_HUB": "x",
    }

    assert identity_variables({**environ, "PATH": "x", "TFC_RUN_ID": "x", "HOME": "x"}) == set(environ)


def test_no_repr_shows_a_secret(issuer: FakeIssuer, github_ci: FakeGitHub) -> None:
    """S8."""
    with FakeBuildkite(issuer) as ci:
        found = find(ci.environ())

    assert ci.environ()["BUILDKITE_AGENT_ACCESS_TOKEN"] not in f"{found!r} {found.identity!r} {ORDER!r}"
