"""What there is to say about each provider, for the documentation. Nothing in a job loads this.

Facts are as of 2026-11, from the vendors' documentation. What a mistake leads to is not written here: the page shows
what the code really says in such a job (`Mistake.environ`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AUDIENCE: Final = "https://hub.example.org"  # the endpoint of the examples
TOKEN_FOR: Final = "TOKEN FOR "  # a value that begins so stands for a token with the audience that follows


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that goes wrong in real jobs.

    Args:
        what: What was done or forgotten.
        environ: Variables of such a job. The code is run on them.
    """

    what: str
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the page says about one provider.

    Args:
        seen_by: How it is recognised.
        way: How the token is got.
        audience: Who decides about `aud`.
        lifetime: How long the token lives.
        works: Variables of a job in which there is a way to a token; says whether it can be minted again.
        variables: Variables of ours, and others, that change something, with what they do.
        mistakes: What goes wrong.
    """

    seen_by: str
    way: str
    audience: str
    lifetime: str
    works: Mapping[str, str]
    variables: tuple[tuple[str, str], ...] = ()
    mistakes: tuple[Mistake, ...] = ()


_OURS: Final = "the process, at every mint"
_NOWHERE: Final = {"PATH": "/nonexistent"}
_REQUEST: Final = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://mint.example.org/?a=b",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
}
_FORGEJO: Final = {"GITHUB_ACTIONS": "true", "GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}
_BUILDKITE: Final = {"BUILDKITE": "true", "BUILDKITE_JOB_ID": "1", "BUILDKITE_AGENT_ACCESS_TOKEN": "access-token"}
_AZURE: Final = {"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/acme/oidctoken"}
_JENKINS: Final = {"JENKINS_URL": "https://jenkins.example.org/", "BUILD_ID": "42"}
_POD: Final = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
_FILE: Final = "KEYLESS_ID_TOKEN_FILE"
_OTHER: Final = f"{TOKEN_FOR}https://other.example.org"

REFERENCE: Final[Mapping[str, Reference]] = {
    "handed-over": Reference(
        "`KEYLESS_ID_TOKEN_VAR`, `HF_OIDC_ID_TOKEN` or `KEYLESS_ID_TOKEN`, in this order",
        "the variable",
        "whoever made the token",
        "the token's own",
        {"HF_OIDC_ID_TOKEN": f"{TOKEN_FOR}{AUDIENCE}"},
        (("KEYLESS_ID_TOKEN_VAR", "the name of the variable that holds the token"),),
        (
            Mistake("The named variable is empty", {"KEYLESS_ID_TOKEN_VAR": "MY_TOKEN"}),
            Mistake("A placeholder was not filled in", {"HF_OIDC_ID_TOKEN": "$(MyToken)"}),
            Mistake("A token for somebody else", {"HF_OIDC_ID_TOKEN": _OTHER}),
        ),
    ),
    "file": Reference(
        f"`{_FILE}`",
        "the file, read at every mint, so that it may be rotated",
        "whoever writes the file",
        "the token's own",
        {_FILE: "/var/run/token"},
        (),
        (
            Mistake("The file is not there", {_FILE: "/nonexistent/token"}),
            Mistake("A directory", {_FILE: "/"}),
        ),
    ),
    "command": Reference(
        "`KEYLESS_ID_TOKEN_COMMAND`",
        "the command's standard output; no shell, no input, 64 kB at most, stopped at the deadline",
        "`{audience}` in its words becomes the audience, and `KEYLESS_ID_TOKEN_AUDIENCE` is set for it",
        "the token's own",
        {"KEYLESS_ID_TOKEN_COMMAND": "nsc auth issue-id-token --audience {audience}"},
        (),
        (
            Mistake("No such program", {**_NOWHERE, "KEYLESS_ID_TOKEN_COMMAND": "nsc auth issue-id-token"}),
            Mistake("A quote is not closed", {"KEYLESS_ID_TOKEN_COMMAND": "tool 'x"}),
        ),
    ),
    "forgejo": Reference(
        "`FORGEJO_ACTIONS`; asked before GitHub, whose markers its runner sets too",
        "GET on `ACTIONS_ID_TOKEN_REQUEST_URL` with the bearer `ACTIONS_ID_TOKEN_REQUEST_TOKEN`",
        _OURS,
        "the instance's setting (1 hour in its documentation's sample)",
        {**_FORGEJO, **_REQUEST},
        (),
        (
            Mistake("No `enable-openid-connect: true`", {**_FORGEJO, "ACTIONS_ID_TOKEN_REQUEST_URL": ""}),
            Mistake("A pull request", {**_FORGEJO, "GITHUB_EVENT_NAME": "pull_request"}),
        ),
    ),
    "github": Reference(
        "`GITHUB_ACTIONS=true`, and no marker of Forgejo or Gitea; under `act` only with the two request variables",
        "GET on `ACTIONS_ID_TOKEN_REQUEST_URL` with the bearer `ACTIONS_ID_TOKEN_REQUEST_TOKEN`",
        _OURS,
        "5 minutes",
        {"GITHUB_ACTIONS": "true", **_REQUEST},
        (),
        (
            Mistake("No `id-token: write`", {"GITHUB_ACTIONS": "true"}),
            Mistake("A pull request from a fork", {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request"}),
            Mistake("Under act", {"GITHUB_ACTIONS": "true", "ACT": "true"}),
        ),
    ),
    "gitlab": Reference(
        "`GITLAB_CI=true`",
        "the variable that the job's `id_tokens:` names: one of the sources above, or `<AUDIENCE>_ID_TOKEN`",
        "`aud:` in the job",
        "the job's time-out, or 5 minutes where it has none",
        {"GITLAB_CI": "true", "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN": f"{TOKEN_FOR}{AUDIENCE}"},
        (),
        (
            Mistake("No `id_tokens:`", {"GITLAB_CI": "true"}),
            Mistake("Another `aud:`", {"GITLAB_CI": "true", "HF_OIDC_ID_TOKEN": _OTHER}),
        ),
    ),
    "circleci": Reference(
        "`CIRCLECI=true`",
        "`circleci run oidc get --claims '{\"aud\":…}'`; the ready-made `CIRCLE_OIDC_TOKEN_V2` where that one will do",
        "the process; of the ready-made token always the organization's id",
        "1 hour",
        {"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": f"{TOKEN_FOR}org"},
        (
            (
                "KEYLESS_CIRCLECI_ROOT_ISSUER",
                "`true` asks for the issuer that all organizations share (`--root-issuer`)",
            ),
        ),
        (
            Mistake("A fork's pull request", {"CIRCLECI": "true", "CIRCLE_PR_NUMBER": "7"}),
            Mistake("No token at all", {"CIRCLECI": "true"}),
            Mistake(
                "An image without the program",
                {**_NOWHERE, "CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": f"{TOKEN_FOR}org"},
            ),
        ),
    ),
    "buildkite": Reference(
        "`BUILDKITE=true` or `BUILDKITE_AGENT_ACCESS_TOKEN`",
        "POST to the agent's API at `BUILDKITE_AGENT_ENDPOINT`; without that variable `buildkite-agent oidc "
        "request-token`. The claims `organization_id` and `pipeline_id` are always asked for",
        _OURS,
        "5 minutes",
        _BUILDKITE,
        (),
        (
            Mistake("A container without the agent's variables", {"BUILDKITE": "true"}),
            Mistake("Neither the endpoint nor the agent's program", {**_NOWHERE, **_BUILDKITE}),
        ),
    ),
    "azure-devops": Reference(
        "`TF_BUILD=True`",
        "POST to `SYSTEM_OIDCREQUESTURI` with the bearer `SYSTEM_ACCESSTOKEN`",
        "fixed: `api://AzureADTokenExchange`; the service has to accept it from this issuer",
        "5 minutes",
        {**_AZURE, "SYSTEM_ACCESSTOKEN": "access-token"},
        (("KEYLESS_AZURE_SERVICE_CONNECTION_ID", "be that service connection instead of the pipeline"),),
        (
            Mistake("The step does not map the token", _AZURE),
            Mistake("The name is not resolved", {**_AZURE, "SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"}),
            Mistake("A pull request from a fork", {**_AZURE, "SYSTEM_PULLREQUEST_ISFORK": "True"}),
            Mistake("No address", {"TF_BUILD": "True", "SYSTEM_ACCESSTOKEN": "access-token"}),
        ),
    ),
    "bitbucket": Reference(
        "`BITBUCKET_BUILD_NUMBER` or `BITBUCKET_STEP_OIDC_TOKEN`",
        "the variable `BITBUCKET_STEP_OIDC_TOKEN`",
        "`oidc: audiences:` on the step; else the workspace",
        "not documented; expect the step's",
        {"BITBUCKET_STEP_OIDC_TOKEN": f"{TOKEN_FOR}{AUDIENCE}"},
        (),
        (
            Mistake("The step has no `oidc:`", {"BITBUCKET_BUILD_NUMBER": "42"}),
            Mistake(
                "`oidc: true` alone",
                {"BITBUCKET_STEP_OIDC_TOKEN": f"{TOKEN_FOR}ari:cloud:bitbucket::workspace/1"},
            ),
        ),
    ),
    "jenkins": Reference(
        "`JENKINS_URL` and `BUILD_ID`, or a `BUILD_TAG` that begins with `jenkins-`",
        "the variable or file of a `withCredentials` binding (OpenID Connect Provider plugin): one of the sources "
        "above, `<AUDIENCE>_ID_TOKEN` or `<AUDIENCE>_ID_TOKEN_FILE`",
        "a field of the credential",
        "1 hour; the same inside one block",
        {**_JENKINS, "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN": f"{TOKEN_FOR}{AUDIENCE}"},
        (),
        (
            Mistake("No binding around the step", _JENKINS),
            Mistake("JENKINS_URL is not configured", {"BUILD_TAG": "jenkins-widgets-42"}),
        ),
    ),
    "google-cloud": Reference(
        "`GCE_METADATA_HOST`, `GCE_METADATA_ROOT`, `GCE_METADATA_IP`, `CLOUD_RUN_JOB`, `BUILDER_OUTPUT`, or "
        "`K_SERVICE` outside Kubernetes; not with `NO_GCE_CHECK=true`. On a plain virtual machine say "
        "`KEYLESS_PROVIDER=google-cloud`",
        "GET on the metadata server, without any proxy, in 3 seconds (`GCE_METADATA_TIMEOUT`) or not at all",
        _OURS,
        "1 hour; the metadata server may give the same one again",
        {"GCE_METADATA_HOST": "metadata.google.internal"},
        (
            ("GOOGLE_SERVICE_ACCOUNT_NAME", "e-mail address of another service account to be (`generateIdToken`)"),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", "another address of the API that does that"),
        ),
    ),
    "aws": Reference(
        "`CODEBUILD_BUILD_ARN`, `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `AWS_LAMBDA_FUNCTION_NAME`; elsewhere say "
        "`KEYLESS_PROVIDER=aws`",
        "`GetWebIdentityToken` of the region's STS, signed with the role's credentials: `AWS_ACCESS_KEY_ID` …, "
        "`AWS_ROLE_ARN` with `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_CONTAINER_CREDENTIALS_*`, then the instance's "
        "metadata service. Profiles in files are not read",
        "the process, within what the role's policy allows",
        "5 minutes",
        {"KEYLESS_PROVIDER": "aws", "AWS_REGION": "eu-west-1"},
        (("AWS_ENDPOINT_URL_STS", "another address of STS"),),
        (
            Mistake("The region is not known", {"KEYLESS_PROVIDER": "aws"}),
            Mistake(
                "No credentials",
                {"KEYLESS_PROVIDER": "aws", "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"},
            ),
            Mistake("Credentials, and nothing that says they are meant", {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}),
        ),
    ),
    "kubernetes": Reference(
        "in a pod (`KUBERNETES_SERVICE_HOST`) the file `/var/run/secrets/keyless/token`, or anywhere "
        "`KEYLESS_KUBERNETES_TOKEN_FILE`",
        "the projected file, read at every mint; with `KEYLESS_PROVIDER=kubernetes` and no file, TokenRequest at the "
        "cluster's API. The pod's default token is never sent anywhere else",
        "`audience:` of the volume; of TokenRequest the process",
        "1 hour, renewed by the kubelet; 10 minutes by TokenRequest",
        {"KEYLESS_KUBERNETES_TOKEN_FILE": "/var/run/secrets/keyless/token"},
        (("KEYLESS_KUBERNETES_TOKEN_FILE", "where the volume is mounted, if elsewhere"),),
        (
            Mistake("A pod without such a volume", _POD),
            Mistake("Chosen outside a pod", {"KEYLESS_PROVIDER": "kubernetes"}),
        ),
    ),
    "spiffe": Reference(
        "`SPIFFE_ENDPOINT_SOCKET`",
        f"the workload API (gRPC) on that Unix socket; or a file that `spiffe-helper` keeps, named in `{_FILE}`",
        _OURS,
        "the operator's setting",
        {"SPIFFE_ENDPOINT_SOCKET": "unix:///run/spire/agent/public/api.sock"},
        (("KEYLESS_SPIFFE_ID", "which of several identities to take; the first by default"),),
        (
            Mistake("The address of another machine", {"SPIFFE_ENDPOINT_SOCKET": "tcp://192.0.2.1:8081"}),
            Mistake("No absolute path", {"SPIFFE_ENDPOINT_SOCKET": "unix://run/api.sock"}),
            Mistake("The socket is not mounted", {"SPIFFE_ENDPOINT_SOCKET": "unix:///nonexistent/api.sock"}),
        ),
    ),
}
