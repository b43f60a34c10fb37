"""The story from the first publisher to the last refusal, told while it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from keyless.demo import refusals
from keyless.demo.artifacts import differences, digests, total_bytes
from keyless.demo.children import Finished
from keyless.demo.narrator import Narrator
from keyless.demo.stage import (
    BRANCH,
    DATASET,
    DATASET_NAME,
    MODEL,
    OWNER_ID,
    REPOSITORY,
    REPOSITORY_ID,
    WORKFLOW,
    Stage,
)
from keyless.demo.steps import Step, Summary
from keyless.demo.trail import GRANTED, Decision, Trail
from keyless.resource import parse_resource
from keyless.testing.github import GitHubJob


class Observer(Protocol):
    """Be told when a chapter is over; a test may meddle with the stage then."""

    def __call__(self, moment: str, stage: Stage) -> None:
        """Receive the moment's name: `ready`, `uploaded`, `downloaded` or `refused`."""


class Story:
    """Play the demo on a stage.

    Args:
        stage: An entered `Stage`.
        narrator: Tells what happens.
        observer: See `Observer`.
    """

    def __init__(self, stage: Stage, narrator: Narrator, observer: Observer | None = None) -> None:
        self.stage: Final = stage
        self.narrator: Final = narrator
        self.summary: Final = Summary()
        self._observer: Final = observer
        self._trail: Final = Trail(stage.audit_events)

    def play(self) -> Summary:
        """Play every chapter; later ones also run when an earlier one went wrong, and the summary says where.

        Raises:
            DemoError: The stage itself failed.
        """
        self._set_up()
        self._tell("ready")
        job = self._publish()
        self._tell("uploaded")
        self._fetch(job)
        self._tell("downloaded")
        self._refuse(job)
        self._tell("refused")
        self._show_trail()
        return self.summary

    # --- chapter 1 ---------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        stage, tell = self.stage, self.narrator
        tell.heading("The world")
        tell.say(
            "Everything runs on this machine: real keys, real HTTP, the real hf client. Only GitHub is played by a "
            "stand-in, and the hub is small."
        )
        tell.row("issuer", f"{stage.issuer.url}  plays GitHub: signs an id token for each job that asks")
        tell.row("service", f"{stage.url}  keyless serve: the token service, and a hub on the same origin")
        tell.say("First the operator of the service says which issuer is trusted, and which job may publish what:")
        self._administer("trust", "issuer", "add", stage.issuer.url, "--kind", "github", "--network", "loopback")
        for resource in (MODEL, DATASET):
            self._administer(
                "trust", "add", resource, "--issuer", stage.issuer.url,
                "--repository", REPOSITORY, "--branch", BRANCH, "--workflow", WORKFLOW,
                "--repository-id", REPOSITORY_ID, "--repository-owner-id", OWNER_ID,
            )  # fmt: skip
        tell.say(
            "Such a record is a Trusted Publisher: jobs of this repository, on this branch, from this workflow file, "
            "may publish this one resource. Names can be taken over by somebody else; the pinned numbers cannot."
        )
        tell.command({}, ["keyless", "serve", "--config", stage.config.name])
        self.step("start the service", "an answer on /healthz", stage.start_service, good="the service answers")
        self._trail.news()

    def _administer(self, *arguments: str) -> None:
        self.narrator.command({}, ["keyless", *arguments])
        # `trust add` also prints the lines for the workflow file; the README shows those.
        self.narrator.quote(self.stage.administer(*arguments).stdout.partition("in the job:")[0], lines=20)

    # --- chapter 2 ---------------------------------------------------------------------------------------------------

    def _publish(self) -> GitHubJob:
        stage, tell = self.stage, self.narrator
        job = stage.github.first
        tell.heading("A CI job publishes a model and a dataset")
        tell.say(
            f"A push to {BRANCH} of {REPOSITORY} starts {WORKFLOW}. The job has `permissions: id-token: write` and no "
            "secret: no HF_TOKEN, no login, an empty home. Each step is a process of its own; it knows the job's "
            "variables, and the one resource it wants to write."
        )
        megabytes = total_bytes(stage.model_folder) / 1e6
        tell.row("trained", f"a model of {megabytes:.1f} MB and the dataset it learned from")
        self._upload(job, "upload the model", MODEL, ["upload", MODEL, "model", "."])
        self._upload(
            job,
            "upload the dataset",
            DATASET,
            ["upload", DATASET_NAME, "dataset", ".", "--repo-type", "dataset", "--private"],
        )
        self._print_token(job)
        return job

    def _upload(self, job: GitHubJob, name: str, resource: str, arguments: Sequence[str]) -> None:
        def check() -> str | None:
            mints = job.mints
            done = self._hf(job, resource, arguments)
            if job.mints == mints:
                return "hf never asked for an id token"
            self._show_id_token(job)
            granted = self._decisions(resource)
            self.narrator.quote(done.output)
            return _failure(done, 0) or granted

        self.step(name, "hf ends with 0", check, good="published, with a token that is good for nothing else")

    def _show_id_token(self, job: GitHubJob) -> None:
        claims = job.claims
        self.narrator.row(
            "issuer",
            f"signed an id token: repository {claims['repository']} ({claims['repository_id']}), {claims['ref']}, "
            f"{WORKFLOW}, {claims['event_name']}; for {job.requests[-1].audiences[0]} only",
        )

    def _print_token(self, job: GitHubJob) -> None:
        stage, tell = self.stage, self.narrator
        tell.gap()
        tell.say("For any other tool our own client does the same; it prints a token and nothing else.")
        environment = stage.step_environment(job, None)
        arguments = ["token", "--resource", MODEL]

        def check() -> str | None:
            tell.command({}, ["keyless", *arguments])
            done = stage.run_keyless(environment, arguments)
            granted = self._decisions(MODEL)
            tell.quote(done.output)
            if failure := _failure(done, 0) or granted:
                return failure
            lines = done.stdout.splitlines()
            return None if len(lines) == 1 and lines[0].startswith("hf_jwt_") else "that is not one token"

        self.step("keyless token", "one token on stdout", check, good="a token, shown here by its first letters only")

    # --- chapter 3 ---------------------------------------------------------------------------------------------------

    def _fetch(self, job: GitHubJob) -> None:
        stage, tell = self.stage, self.narrator
        tell.heading("What arrived")
        tell.say(
            "The model is public: anybody can fetch it, without a token. The dataset is private: it takes a token of "
            "its own publisher. Both are compared with the originals byte by byte."
        )
        copies = stage.folder / "copies"
        self._download(None, None, "download the model", stage.model_folder, copies / "model", ["download", MODEL])
        arguments = ["download", DATASET_NAME, "--repo-type", "dataset"]
        self._download(job, DATASET, "download the dataset", stage.dataset_folder, copies / "dataset", arguments)

    def _download(
        self,
        job: GitHubJob | None,
        resource: str | None,
        name: str,
        original: Path,
        copy: Path,
        arguments: Sequence[str],
    ) -> None:
        def check() -> str | None:
            done = self._hf(job, resource, [*arguments, "--local-dir", str(copy)])
            granted = self._decisions(resource)
            self.narrator.quote(done.output)
            return _failure(done, 0) or granted or "; ".join(differences(original, copy)) or None

        self.step(name, "the same bytes", check, good=f"{len(digests(original))} files, byte for byte the same")

    # --- chapter 4 ---------------------------------------------------------------------------------------------------

    def _refuse(self, job: GitHubJob) -> None:
        tell = self.narrator
        tell.heading("What is refused")
        tell.say("Six ways to get at something one should not get at. Each has one thing wrong, and must fail for it.")
        before = digests(self.stage.hub_folder)
        for number, refusal in enumerate(refusals.ALL, 1):
            self._try(number, refusal, job)
        after = digests(self.stage.hub_folder)
        tell.gap()
        self.step(
            "the hub afterwards",
            "nothing changed",
            lambda: None if before == after else f"{len(before.items() ^ after.items())} files differ",
            good="not one byte on the hub's disk has changed",
        )

    def _try(self, number: int, refusal: refusals.Refusal, job: GitHubJob) -> None:
        tell = self.narrator
        tell.gap()
        tell.say(f"({number}) {refusal.story}")

        def check() -> str | None:
            attempt = refusal.attempt(self.stage, job)
            tell.command(attempt.shown, attempt.arguments)
            done = attempt.run()
            decisions = self._show(self._trail.news())
            tell.quote(done.output, lines=8)
            return refusal.judge(done, decisions)

        self.step(refusal.name, refusal.expected, check, good=f"refused: {refusal.because}")

    # --- chapter 5 ---------------------------------------------------------------------------------------------------

    def _show_trail(self) -> None:
        tell = self.narrator
        tell.heading("The audit trail")
        tell.say(
            "What the service will remember of all this; nothing in it helps anybody to get in. `keyless audit list` "
            "shows each row with its claims."
        )
        for decision in self._trail.decisions:
            tell.line(decision.row())
        self.summary.events = len(self._trail.decisions)

        def check() -> str | None:
            tell.command({}, ["keyless", "audit", "verify"])
            done = self.stage.administer("audit", "verify")
            tell.quote(done.stdout)
            return _failure(done, 0)

        self.step("the audit trail", "whole chains", check, good="no row is missing and none was changed")

    # --- shared ------------------------------------------------------------------------------------------------------

    def step(self, name: str, expected: str, check: Callable[[], str | None], *, good: str) -> None:
        """Do one step, record it and say how it went.

        Args:
            name: For the summary.
            expected: What should happen.
            check: Does it; returns what went wrong, or `None`.
            good: What to say when all is well.
        """
        began = time.monotonic()
        wrong = check()
        self.summary.steps.append(Step(name, expected, wrong is None, wrong or good, time.monotonic() - began))
        self.narrator.verdict(wrong is None, good if wrong is None else f"{name}: expected {expected}, but {wrong}")

    def _tell(self, moment: str) -> None:
        if self._observer is not None:
            self._observer(moment, self.stage)

    def _hf(self, job: GitHubJob | None, resource: str | None, arguments: Sequence[str]) -> Finished:
        environment = self.stage.step_environment(job, resource)
        self.narrator.command({"HF_OIDC_RESOURCE": resource} if resource else {}, ["hf", *arguments])
        return self.stage.run_hf(environment, arguments)

    def _show(self, decisions: Sequence[Decision]) -> Sequence[Decision]:
        for decision in decisions:
            for sentence in decision.sentences():
                self.narrator.row("service", sentence)
        return decisions

    def _decisions(self, resource: str | None) -> str | None:
        """Show what the service decided; return what is wrong unless it granted one token for the resource, or none."""
        decisions = self._show(self._trail.news())
        wanted = [] if resource is None else [(GRANTED, str(parse_resource(resource)))]
        found = [(decision.kind, decision.resource) for decision in decisions]
        return None if found == wanted else f"the audit trail says {found or 'nothing'}"


def _failure(done: Finished, status: int) -> str | None:
    return None if done.status == status else f"it ended with {done.status}"
