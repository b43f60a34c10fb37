"""`keyless demo`: play the story, and leave nothing behind."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from keyless.cli.terminal import has_colour
from keyless.demo.children import INTERRUPTS
from keyless.demo.narrator import Narrator
from keyless.demo.stage import BRANCH, DATASET, MODEL, Stage
from keyless.demo.steps import Summary
from keyless.demo.story import Observer, Story
from keyless.errors import ConfigurationError
from keyless.server.cli.parser import PageParser


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(
        prog="keyless demo",
        description="Play a CI job that publishes a model and a dataset without a stored secret, on this machine: a "
        "stand-in for GitHub, the real token service and hub, the real hf client. Then six refusals.",
    )
    parser.add_argument("--hf", type=Path, metavar="PATH", help="the hf program to use (default: the one on PATH)")
    parser.add_argument("--keep", action="store_true", help="leave the folder with everything that was made")
    parser.add_argument("--serve", action="store_true", help="then go on serving until Ctrl-C, to play by hand")
    parser.add_argument("--json", action="store_true", help="print a summary for programs instead of the story")
    return parser


def run(argv: Sequence[str], *, observer: Observer | None = None) -> int:
    """Run the verb and return its exit code: 0 only if every step did what it should.

    Args:
        argv: The verb's arguments.
        observer: See `run_demo`.
    """
    parser = _parser()
    options = parser.parse_args(list(argv))
    if options.json and options.serve:
        parser.error("--json and --serve contradict each other")
    hf = find_hf(options.hf)
    narrator = Narrator(None if options.json else sys.stdout, colour=has_colour(sys.stdout))
    with INTERRUPTS:
        summary = run_demo(hf=hf, narrator=narrator, keep=options.keep, serve=options.serve, observer=observer)
    if options.json:
        print(json.dumps(summary.as_json(), indent=2))
    return 0 if summary.ok else 1


def run_demo(
    *,
    hf: Path,
    narrator: Narrator | None = None,
    keep: bool = False,
    serve: bool = False,
    observer: Observer | None = None,
) -> Summary:
    """Play the demo.

    Args:
        hf: The real client's program.
        narrator: Tells the story; silent by default.
        keep: Leave the folder with everything that was made.
        serve: Go on serving until interrupted.
        observer: Is told when a chapter is over, with the stage in its hands.

    Raises:
        DemoError: The stage could not be set up.
        KeyboardInterrupt: The user had enough; nothing is left behind then either.
    """
    tell = narrator or Narrator(None, colour=False)
    began = time.monotonic()
    with Stage(hf, keep=keep) as stage:
        summary = Story(stage, tell, observer).play()
        summary.seconds = time.monotonic() - began
        summary.folder = str(stage.folder) if keep else None
        wrong = [step.name for step in summary.steps if not step.ok]
        tell.heading("The end")
        good = f"all {len(summary.steps)} steps did what they should, in {summary.seconds:.0f} s"
        tell.verdict(summary.ok, good if summary.ok else f"went wrong: {', '.join(wrong)}")
        if keep:
            tell.row("kept", str(stage.folder))
        if serve:
            _serve(stage, tell)
    return summary


def find_hf(given: Path | None) -> Path:
    """Return the hf program: the given one, the one beside this interpreter, or the one on PATH.

    Raises:
        ConfigurationError: There is none.
    """
    candidates = [given] if given else [Path(sys.executable).with_name("hf"), Path(shutil.which("hf") or "hf")]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.absolute()
    raise ConfigurationError(
        f"no hf program at {given}" if given else "the real hf client is not installed here",
        hint="pip install 'huggingface_hub>=1.19', or name it: keyless demo --hf PATH",
    )


def _serve(stage: Stage, tell: Narrator) -> None:
    job = stage.github.first
    tell.heading("Your turn")
    tell.row("service", stage.url)
    tell.row("issuer", stage.issuer.url)
    tell.row("settings", str(stage.config))
    tell.say(f"A shell becomes a step of the job on {BRANCH} with the variables in this file; then for example:")
    environment = {**job.environ(), "HF_ENDPOINT": stage.url, "HF_OIDC_RESOURCE": MODEL}
    path = stage.folder / "job.env"
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}='{value}'\n" for name, value in environment.items()), encoding="utf-8")
    tell.command({}, [".", str(path)])
    tell.command({}, [str(stage.hf), "auth", "whoami"])
    tell.command({"HF_OIDC_RESOURCE": DATASET}, [str(stage.hf), "auth", "token"])
    tell.say("Ctrl-C ends it.")
    try:
        stage.service.wait()
    except KeyboardInterrupt:
        tell.say("Bye.")
