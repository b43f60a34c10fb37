"""The story from the first publisher to the last refusal, told while it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from keyless.demo import refusals
from keyless.demo.artifacts import differences, digests, total_bytes
from keyless.demo.children import Finished
from keyless.demo.narrator import Narrator
from keyless.demo.stage import BRANCH, DATASET, MODEL, OWNER_ID, REPOSITORY, REPOSITORY_ID, WORKFLOW, Stage
from keyless.demo.steps import Step, Summary
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

    def play(self) -> Summary:
        """Play every chapter; later ones also run when an earlier one went wrong, as they say where.

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

    def step(self, name: str, expected: str, check: Callable[[], str | None], *, good: str) -> bool:
        """Do one step and record it.

        Args:
            name: For the summary.
            expected: What should happen.
            check: Does it; returns what went wrong, or `None`.
            good: What to say when all is well.
        """
        began = time.monotonic()
        wrong = check()
        self.summary.steps.append(Step(name, expected, wrong is None, wrong or good, time.monotonic() - began))
        self.narrator.verdict(wrong is None, good if wrong is None else f"{name}: expected {expected}; {wrong}")
        return wrong is None

    def _tell(self, moment: str) -> None:
        if self._observer is not None:
            self._observer(moment, self.stage)

    # --- chapter 1 ---------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        stage, tell = self.stage, self.narrator
        tell.heading("The world")
        tell.say(
            "Everything runs on this machine. Real keys, real HTTP, the real hf client; only GitHub is played by a "
            "stand-in, and the hub is small."
        )
        tell.row("issuer", f"{stage.issuer.url}  plays GitHub: signs an id token for each job that asks")
        tell.row("service", f"{stage.url}  keyless serve: the token service, and the hub on the same origin")
        tell.say("First the operator of the service says which issuer is trusted, and who may publish what:")
        self._administer("trust", "issuer", "add", stage.issuer.url, "--kind", "github", "--network", "loopback")
        for resource in (MODEL, DATASET):
            self._administer(
                "trust", "add", resource, "--issuer", stage.issuer.url,
                "--claim", f"repository={REPOSITORY}", "--claim", f"branch={BRANCH}", "--claim", f"workflow={WORKFLOW}",
                "--pin", f"repository_id={REPOSITORY_ID}", "--pin", f"repository_owner_id={OWNER_ID}",
            )  # fmt: skip
        tell.say(
            "A publisher is a sentence: jobs of this repository, on this branch, from this workflow file, may publish "
            "this one resource. Names can be taken over by somebody else; the pinned numbers cannot."
        )
        stage.start_service()
        self.step("start the service", "an answer on /healthz", lambda: None, good="the service answers")

    def _administer(self, *arguments: str) -> None:
        self.narrator.command({}, ["keyless", *arguments])
        self.narrator.quote(self.stage.administer(*arguments).stdout)

    # --- chapter 2 ---------------------------------------------------------------------------------------------------

    def _publish(self) -> GitHubJob:
        stage, tell = self.stage, self.narrator
        job = stage.github.first
        tell.heading("A CI job publishes a model and a dataset")
        tell.say(
            f"A push to {BRANCH} of {REPOSITORY} starts {WORKFLOW}. The job has `permissions: id-token: write` and no "
            "secret: no HF_TOKEN, no login, an empty home. Each step below is a process of its own that knows the "
            "job's variables and the one resource it wants to write."
        )
        megabytes = total_bytes(stage.model_folder) / 1e6
        tell.row("trained", f"a model of {megabytes:.1f} MB and the dataset it learned from")
        self._upload(job, "upload the model", MODEL, ["upload", MODEL, "model", "."])
        name = DATASET.removeprefix("datasets/")
        self._upload(
            job, "upload the dataset", DATASET, ["upload", name, "dataset", ".", "--repo-type", "dataset", "--private"]
        )
        self._show_token(job)
        return job

    def _upload(self, job: GitHubJob, name: str, resource: str, arguments: list[str]) -> None:
        mints_before = job.mints

        def check() -> str | None:
            done = self._hf(job, resource, arguments)
            self.narrator.quote(done.output)
            self._show_decisions()
            if done.status != 0:
                return f"hf ended with {done.status}"
            if job.mints == mints_before:
                return "hf never asked for an id token"
            return None

        self.step(name, "hf ends with 0", check, good=f"published, with a token that is good for {resource} only")

    def _show_token(self, job: GitHubJob) -> None:
        stage, tell = self.stage, self.narrator
        tell.say("The same with our own client, for any other tool: it prints a token and nothing else.")
        environment = stage.step_environment(job, None)
        arguments = ["token", "--resource", MODEL]

        def check() -> str | None:
            tell.command({}, ["keyless", *arguments])
            done = stage.run_keyless(environment, arguments)
            tell.quote(done.output)
            self._show_decisions()
            if done.status != 0:
                return f"keyless token ended with {done.status}: {done.stderr}"
            lines = done.stdout.splitlines()
            return None if len(lines) == 1 and lines[0].startswith("hf_jwt_") else "that is not one token"

        self.step("keyless token", "one token on stdout", check, good="a token; it ends by itself within the hour")

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
        name = DATASET.removeprefix("datasets/")
        arguments = ["download", name, "--repo-type", "dataset"]
        self._download(job, DATASET, "download the dataset", stage.dataset_folder, copies / "dataset", arguments)

    def _download(
        self, job: GitHubJob | None, resource: str | None, name: str, original: Path, copy: Path, arguments: list[str]
    ) -> None:
        def check() -> str | None:
            done = self._hf(job, resource, [*arguments, "--local-dir", str(copy)])
            self.narrator.quote(done.output, lines=4)
            self._show_decisions()
            if done.status != 0:
                return f"hf ended with {done.status}"
            return "; ".join(differences(original, copy)) or None

        self.step(name, "the same bytes", check, good=f"{len(digests(original))} files, byte for byte the same")

    # --- chapter 4 ---------------------------------------------------------------------------------------------------

    def _refuse(self, job: GitHubJob) -> None:
        tell = self.narrator
        tell.heading("What is refused")
        tell.say("Six ways to get at something that one should not get at. Each must fail, and say why.")
        before = digests(self.stage.hub_folder)
        for refusal in refusals.ALL:
            self._try(refusal, job)
        after = digests(self.stage.hub_folder)
        self.step(
            "the hub afterwards",
            "nothing changed",
            lambda: None if before == after else f"{len(before.items() ^ after.items())} files differ",
            good="not one byte on the hub's disk has changed",
        )

    def _try(self, refusal: refusals.Refusal, job: GitHubJob) -> None:
        tell = self.narrator
        tell.say("")
        tell.say(refusal.story)

        def check() -> str | None:
            attempt = refusal.attempt(self.stage, job)
            tell.command(attempt.shown, attempt.arguments)
            done = attempt.run()
            tell.quote(done.output, lines=8)
            reasons = self._show_decisions()
            return refusal.judge(done, reasons)

        self.step(refusal.name, refusal.expected, check, good=f"refused: {refusal.because}")

    # --- chapter 5 ---------------------------------------------------------------------------------------------------

    def _show_trail(self) -> None:
        tell = self.narrator
        tell.heading("The audit trail")
        tell.say("What the service will remember of all this. Nothing in it can be used to get in.")
        tell.command({}, ["keyless", "audit", "list"])
        tell.quote(self.stage.administer("audit", "list").stdout, lines=40)
        self.summary.events = self.stage.events_seen

    # --- shared ------------------------------------------------------------------------------------------------------

    def _hf(self, job: GitHubJob | None, resource: str | None, arguments: list[str]) -> Finished:
        environment = self.stage.step_environment(job, resource)
        self.narrator.command({"HF_OIDC_RESOURCE": resource} if resource else {}, ["hf", *arguments])
        return self.stage.run_hf(environment, arguments)

    def _show_decisions(self) -> list[str]:
        """Print what the service decided since the last call and return the reasons of its refusals."""
        reasons: list[str] = []
        for event in self.stage.new_events():
            self.narrator.row("service", describe(event))
            if event.get("reason"):
                reasons.append(str(event["reason"]))
        return reasons


def describe(event: dict[str, object]) -> str:
    """Say what an audit event means, in one line."""
    what = {
        "token.granted": "granted a token",
        "exchange.refused": "refused the exchange",
        "exchange.failed": "could not decide",
        "publisher.added": "trusts a publisher",
        "issuer.added": "trusts an issuer",
    }.get(str(event.get("kind")), str(event.get("kind")))
    details = [
        f"for {event['resource']}" if event.get("resource") else "",
        f"to {event['ci_subject']}" if event.get("ci_subject") else "",
        f"({event['reason']})" if event.get("reason") else "",
    ]
    return " ".join([what, *filter(None, details)])
