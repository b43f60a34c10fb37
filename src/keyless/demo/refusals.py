"""Six attempts that must fail: each is one step of a job, with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyless.demo.children import Finished
from keyless.demo.stage import DATASET_NAME, MODEL, Stage
from keyless.demo.trail import REFUSED, Decision
from keyless.testing.github import GitHubJob

_NO_MATCH: Final = "no_matching_publisher"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A command about to be run: how it is shown, and how it is run."""

    shown: Mapping[str, str]
    arguments: Sequence[str]
    run: Callable[[], Finished]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One attempt and what must come of it.

    Args:
        name: For the summary.
        story: What somebody tries.
        because: Why it fails, in a few words.
        attempt: Prepares the command.
        status: The command's exit status.
        says: What the person at the command must read.
        reason: The service's stable reason in its audit trail; `None` where the exchange is not what refuses.
        differs: The one difference that the audit trail must name, or `None`.
    """

    name: str
    story: str
    because: str
    attempt: Callable[[Stage, GitHubJob], Attempt]
    status: int
    says: str
    reason: str | None = None
    differs: str | None = None

    @property
    def expected(self) -> str:
        """Return what must happen, in words."""
        return f"exit status {self.status} and {self.says!r}"

    def judge(self, done: Finished, decisions: Sequence[Decision]) -> str | None:
        """Return what is wrong with how it ended, or `None`."""
        if done.status != self.status:
            return f"it ended with {done.status}"
        if self.says not in done.output:
            return "its message says something else"
        refused = [decision for decision in decisions if decision.kind == REFUSED]
        if [decision.reason for decision in refused] != ([] if self.reason is None else [self.reason]):
            return f"the audit trail says {[decision.reason for decision in refused]} instead of {self.reason}"
        details = [detail for decision in refused for detail in decision.details]
        if self.differs is not None and (len(details) != 1 or self.differs not in details[0]):
            return f"the audit trail names {details} instead of one difference, {self.differs}"
        return None


def _upload_model(stage: Stage, job: GitHubJob, **variables: str) -> Attempt:
    arguments = ["upload", MODEL, "model", "."]
    environment = stage.step_environment(job, MODEL, **variables)
    return Attempt(
        {"HF_OIDC_RESOURCE": MODEL, **variables},
        ["hf", *arguments],
        lambda: stage.run_hf(environment, arguments),
    )


def _wrong_resource(stage: Stage, job: GitHubJob) -> Attempt:
    arguments = ["upload", DATASET_NAME, "model", "stolen", "--repo-type", "dataset"]
    environment = stage.step_environment(job, MODEL)
    return Attempt({"HF_OIDC_RESOURCE": MODEL}, ["hf", *arguments], lambda: stage.run_hf(environment, arguments))


def _as(prepare: Callable[[Stage], GitHubJob]) -> Callable[[Stage, GitHubJob], Attempt]:
    """Attempt the upload of the model as another job than the good one."""
    return lambda stage, _job: _upload_model(stage, prepare(stage))


def _expired(stage: Stage, job: GitHubJob) -> Attempt:
    an_hour_ago = int(stage.issuer.clock()) - 3600
    token = stage.github.mint(stage.url, job, iat=an_hour_ago, nbf=an_hour_ago, exp=an_hour_ago + 300)
    return _upload_model(stage, job, HF_OIDC_ID_TOKEN=token)


def _fork_pull_request(stage: Stage, job: GitHubJob) -> Attempt:
    del job
    fork = stage.github.job(event_name="pull_request", id_token_permission=False)
    environment = stage.step_environment(fork, None)
    arguments = ["token", "--resource", MODEL]
    return Attempt({}, ["keyless", *arguments], lambda: stage.run_keyless(environment, arguments))


ALL: Final = (
    Refusal(
        name="the model's token on the dataset",
        story="A step that asked for a token of the model tries to write into the dataset with it.",
        because="a token is good for one resource",
        attempt=_wrong_resource,
        status=1,
        says="This token is good for",
    ),
    Refusal(
        name="another branch",
        story="Somebody pushes to a branch of their own. Same repository, same workflow file.",
        because="the publisher names the branch main",
        attempt=_as(lambda stage: stage.github.job(ref="refs/heads/experiment")),
        status=1,
        says="invalid_grant",
        reason=_NO_MATCH,
        differs="branch is 'experiment'",
    ),
    Refusal(
        name="a fork's repository",
        story="Another repository has the right name - a fork, or a name taken over - but not the right number.",
        because="the publisher pins repository_id",
        attempt=_as(lambda stage: stage.github.job(repository_id="999001")),
        status=1,
        says="invalid_grant",
        reason=_NO_MATCH,
        differs="repository_id is '999001'",
    ),
    Refusal(
        name="pull_request_target",
        story="A workflow runs for a pull request with the rights of the target: the input is a stranger's.",
        because="such events must be named by the publisher",
        attempt=_as(lambda stage: stage.github.job(event_name="pull_request_target")),
        status=1,
        says="invalid_grant",
        reason=_NO_MATCH,
        differs="event_name is 'pull_request_target'",
    ),
    Refusal(
        name="an expired id token",
        story="An id token from an hour ago turns up, for example out of a log.",
        because="an id token lives for minutes",
        attempt=_expired,
        status=1,
        says="invalid_grant",
        reason="token_expired",
    ),
    Refusal(
        name="a fork's pull request",
        story="A pull request from a fork: GitHub gives such a job no way to mint, whatever its workflow file says.",
        because="there is no id token to begin with",
        attempt=_fork_pull_request,
        status=3,
        says="id-token: write",
    ),
)
