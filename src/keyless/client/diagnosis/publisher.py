"""Ask the service whether a trusted publisher accepts this job: nothing is minted, and the id token is not spent.

Only a service that says in its metadata that it explains is asked, and no other place ever sees the id token.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from keyless.client.diagnosis.check import Cause, Check, failed, failed_by, ok, skipped
from keyless.client.diagnosis.ci_file import is_github_like, is_gitlab
from keyless.client.diagnosis.claims import publisher_command
from keyless.client.diagnosis.id_token import IdToken
from keyless.client.diagnosis.reachability import EXPLAIN_PATH
from keyless.client.exchange import GRANT_TYPE, ID_TOKEN_TYPE, refusal_of
from keyless.errors import ExchangeRefusedError, TransportError
from keyless.http.deadline import Deadline
from keyless.http.redact import quote_text
from keyless.http.transport import Response, send

PUBLISHER: Final = "publisher"
_LEG: Final = "the token service"
_LATER: Final = "Run the step again in a moment; if it stays so, tell whoever runs the service."
# The line of the CI file that decides about a claim: for GitHub and what speaks its language, and for GitLab.
_GITHUB_LINES: Final[Mapping[str, str]] = {
    "branch": "on:\n  push:\n    branches: [THE BRANCH]",
    "tag": "on:\n  push:\n    tags: [THE TAG]",
    "ref": "on:\n  push:\n    branches: [THE BRANCH]",
    "environment": "environment: THE ENVIRONMENT",
    "event_name": "on:\n  push:\n    branches: [main]",
    "workflow": "(the file's name below .github/workflows/)",
    "job_workflow": "uses: OWNER/REPO/.github/workflows/FILE.yml@REF",
    "runner_environment": "runs-on: ubuntu-latest",
}
_GITLAB_LINES: Final[Mapping[str, str]] = {
    "branch": 'rules:\n  - if: $CI_COMMIT_BRANCH == "THE BRANCH"',
    "tag": 'rules:\n  - if: $CI_COMMIT_TAG == "THE TAG"',
    "environment": "environment: THE ENVIRONMENT",
    "pipeline_source": 'rules:\n  - if: $CI_PIPELINE_SOURCE == "push"',
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Name a claim that keeps a publisher from accepting, with what the token says, `None` where it says nothing."""

    claim: str
    yours: str | None

    def __str__(self) -> str:
        return (
            f"{self.claim} (the job's is {self.yours})"
            if self.yours is not None
            else f"{self.claim} (the job has none)"
        )


def not_asked(why: str) -> Check:
    """Return the check when the service was not asked."""
    return skipped(PUBLISHER, why)


def check_publisher(
    id_token: IdToken, resource: str, endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]
) -> Check:
    """Say which publisher accepts the job, or which claim differs, with the line of the CI file that decides it."""
    form = {
        "grant_type": GRANT_TYPE,
        "subject_token_type": ID_TOKEN_TYPE,
        "subject_token": id_token.token.reveal(),
        "resource": resource,
    }
    try:
        answer = send(
            "POST",
            f"{endpoint}{EXPLAIN_PATH}",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode("ascii"),
            leg=_LEG,
            deadline=deadline,
            environ=environ,
        )
    except TransportError as error:
        return failed_by(PUBLISHER, "the service did not explain", error, otherwise=_LATER)
    if answer.status == 429:
        return not_asked("the service was asked too often just now")
    if answer.status >= 500:
        problem = f"the service is failing (HTTP {answer.status})"
        return failed(PUBLISHER, f"no verdict for {resource}", problem, _LATER, cause=Cause.UNREACHABLE)
    if answer.status != 200:
        return _refused(answer, id_token, resource, endpoint)
    return _judge(answer, id_token, resource, environ)


def _refused(answer: Response, id_token: IdToken, resource: str, endpoint: str) -> Check:
    error: ExchangeRefusedError = refusal_of(answer, id_token=id_token.token.reveal(), endpoint=endpoint)
    seen = f"refused for {resource}{f', reason {error.reason}' if error.reason else ''}"
    return failed_by(PUBLISHER, seen, error, otherwise="Ask whoever runs the service.")


def _judge(answer: Response, id_token: IdToken, resource: str, environ: Mapping[str, str]) -> Check:
    try:
        document = json.loads(answer.body)
        accepted = document["accepted"] is True
        publishers = [p for p in document["publishers"] if isinstance(p, dict)]
    except (ValueError, RecursionError, TypeError, KeyError):
        return not_asked("the service's explanation cannot be understood")
    if accepted:
        good = next((p for p in publishers if p.get("accepted") is True), {})
        name = _text(good.get("publisher"))
        return ok(PUBLISHER, f"{name or 'a publisher'} accepts this job for {resource}")
    nearest = min(publishers, key=lambda publisher: len(_differences(publisher)), default=None)
    if nearest is None:
        return _nobody(id_token, resource)
    return _differs(_text(nearest.get("publisher")), _differences(nearest), id_token, resource, environ)


def _nobody(id_token: IdToken, resource: str) -> Check:
    problem = f"no trusted publisher of {resource} is for this repository (or there is no such resource)"
    command = publisher_command(id_token.claims, resource)
    fix = (
        f"The owner of {resource} adds one:\n{command}"
        if command
        else f"Is the name right? If so, the owner of {resource} has to trust this job."
    )
    return failed(PUBLISHER, f"refused for {resource}", problem, fix, cause=Cause.REFUSED)


def _differs(
    publisher: str, differences: Sequence[Difference], id_token: IdToken, resource: str, environ: Mapping[str, str]
) -> Check:
    said = ", ".join(map(str, differences)) or "something that the service does not name"
    problem = f"publisher {publisher} wants something else for {said}"
    lines = [line for difference in differences for line in _line(difference, environ)]
    fix = ["Run the job as the publisher wants it:", *lines] if lines else []
    if command := publisher_command(id_token.claims, resource):
        fix += [f"{'Or' if lines else 'If exactly this job should publish,'} the owner adds one:", command]
    if not fix:
        fix = ["Ask the owner of the resource what the publisher wants: keyless trust show, or the service's pages."]
    return failed(PUBLISHER, f"refused for {resource}", problem, "\n".join(fix), cause=Cause.REFUSED)


def _line(difference: Difference, environ: Mapping[str, str]) -> list[str]:
    if difference.claim == "repository":
        return ["    (the repository was renamed or moved: its owner adds a publisher with the new name)"]
    lines = _GITHUB_LINES if is_github_like(environ) else _GITLAB_LINES if is_gitlab(environ) else {}
    return textwrap.indent(lines.get(difference.claim, ""), "    ").splitlines()


def _differences(publisher: Mapping[str, object]) -> list[Difference]:
    claims = publisher.get("claims")
    rows = [row for row in claims if isinstance(row, dict)] if isinstance(claims, list) else []
    return [
        Difference(_text(row.get("claim")), None if row.get("yours") is None else _text(row.get("yours")))
        for row in rows
        if row.get("matches") is not True
    ]


def _text(value: object) -> str:
    return quote_text(str(value), max_chars=200) if isinstance(value, str | int) else ""
