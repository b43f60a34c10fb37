"""Buildkite: the agent's access token in the job's environment opens an endpoint that mints for any audience.

Vendor documentation: "buildkite-agent oidc" and "OIDC in Buildkite Pipelines". The HTTP endpoint is what the agent's
command calls; it also works in a container without the agent's binary. The binary is used where the job does not know
the endpoint's address, because the binary does. `organization_id` and `pipeline_id` are in a token only on request,
and always requested: slugs can be renamed, and a publisher should pin the ids.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "buildkite"
TITLE: Final = "Buildkite Pipelines"
SETUP: Final = "nothing; in the docker plugin: propagate-environment: true, mount-buildkite-agent: true"

_TOKEN_VARIABLE: Final = "BUILDKITE_AGENT_ACCESS_TOKEN"
VARIABLES: Final = (_TOKEN_VARIABLE,)
OPTIONAL_CLAIMS: Final = ("organization_id", "pipeline_id")
_LEG: Final = "Buildkite's id-token endpoint"
_SOURCE: Final = "the buildkite-agent program"

_CONTAINER_HINT: Final = """\
The agent gives every job BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID; a container does not inherit them. With
the docker plugin:
    - docker#v5:
        propagate-environment: true
        mount-buildkite-agent: true"""
_MISSING_HINT: Final = (
    "BUILDKITE_AGENT_ENDPOINT is not set, so only the agent's binary knows where to ask, and it is not here. Pass that "
    "variable into the container (docker plugin: propagate-environment: true), or mount-buildkite-agent: true."
)
REFUSED: Final = {
    0: "The access token is valid only while its job runs; a copied or old one is refused.",
    422: "Buildkite does not accept one of the claims or the lifetime asked for; is the agent's endpoint a proxy?",
}
_PROGRAM_HINT: Final = "Run it in the job to see: buildkite-agent oidc request-token --audience x > /dev/null"


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether the job runs on Buildkite, and whether the agent's credentials are in sight."""
    if environ.get("BUILDKITE") != "true" and not environ.get(_TOKEN_VARIABLE):
        return None
    token = environ.get(_TOKEN_VARIABLE, "").strip()
    job = environ.get("BUILDKITE_JOB_ID", "").strip()
    if not token or not job:
        absent = _TOKEN_VARIABLE if not token else "BUILDKITE_JOB_ID"
        return CannotMint(
            NAME, IdTokenPermissionError(f"this Buildkite job does not see {absent}", hint=_CONTAINER_HINT)
        )
    return BuildkiteMint(Secret(token), job, environ.get("BUILDKITE_AGENT_ENDPOINT", "").strip().rstrip("/"))


class BuildkiteMint(CanMint):
    """The id tokens of one Buildkite job; every call mints a new one of five minutes.

    Args:
        token: The agent's access token.
        job: The job's id.
        endpoint: Base URL of the agent's API, or the empty text where only the binary knows it.
    """

    __slots__ = ("_endpoint", "_job", "_token")

    def __init__(self, token: Secret, job: str, endpoint: str) -> None:
        identity = Secret(f"{endpoint}\n{job}\n{token.reveal()}")
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._token = token
        self._job = job
        self._endpoint = endpoint

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Ask Buildkite for an id token (see `CanMint.mint`)."""
        if self._endpoint:
            return self._ask(audience, deadline, environ)
        return self._run(audience, deadline, environ)

    def _ask(self, audience: str, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        with import_lock:
            import json
            from urllib.parse import quote

            from keyless.providers.endpoint import Words, ask, read_member

        words = Words(_LEG, refused=REFUSED)
        answer = ask(
            "POST",
            f"{self._endpoint}/jobs/{quote(self._job, safe='')}/oidc/tokens",
            words=words,
            deadline=deadline,
            environ=environ,
            headers={"Authorization": f"Token {self._token.reveal()}", "Content-Type": "application/json"},
            body=json.dumps({"audience": audience, "claims": list(OPTIONAL_CLAIMS)}).encode(),
            secrets=[self._token.reveal()],
            accepted=(200, 201),
        )
        return Secret(read_member(answer, "token", words))

    def _run(self, audience: str, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        with import_lock:
            from keyless.providers.program import read_printed_token, run_program

        words = ["buildkite-agent", "oidc", "request-token", "--audience", audience, "--job", self._job]
        finished = run_program(
            [*words, "--claim", ",".join(OPTIONAL_CLAIMS)],
            source=_SOURCE,
            environ=environ,
            deadline=deadline,
            missing_hint=_MISSING_HINT,
            late_hint="The agent tries five times before it gives up; Buildkite may be failing. Run the job again.",
        )
        if finished.status == 0:
            return Secret(read_printed_token(finished, source=_SOURCE, hint=_PROGRAM_HINT))
        complaint = finished.complaint.lower()
        what = f"{_SOURCE} failed with exit status {finished.status}"
        if "redact" in complaint:
            raise MintError(
                what, hint="It could not register the token for redaction: the agent's job API socket is out of reach."
            )
        if any(phrase in complaint for phrase in ("500", "502", "503", "timeout", "connection refused")):
            raise MintUnavailableError(what, hint="Buildkite may be failing. Run the job again.")
        raise MintError(what, hint=_PROGRAM_HINT)
