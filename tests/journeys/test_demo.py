"""`keyless demo`: ends with 0 when all is well, with 1 when one byte is not, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.demo.cli import run, run_demo
from keyless.demo.stage import KEYLESS, Stage
from tests.journeys.conftest import VERSIONS, find_hf

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def one_hf() -> Path:
    """One version, where the client makes no difference."""
    return find_hf(VERSIONS[0])


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only place where the demo can put its folder; must be empty afterwards."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield place
    assert list(place.iterdir()) == []


def start(hf: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo as a user does."""
    return subprocess.Popen(
        [*KEYLESS, "demo", "--hf", str(hf), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"], "TMPDIR": os.environ["TMPDIR"]},
    )


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie that nobody has reaped yet."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started and that still run."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if f"\nPPid:\t{pid}\n" in text and "\nState:\tZ" not in text:
            found.add(int(status.parent.name))
    return found


def test_every_step_does_what_it_should(hf: Path, temporary: Path) -> None:
    """S1-S11 in one story: two publications, compared, and six refusals."""
    del temporary
    process = start(hf, "--json")
    output, _ = process.communicate(timeout=150)
    summary = json.loads(output)

    assert process.returncode == 0, output
    assert summary["ok"]
    assert len(summary["steps"]) == 14
    assert not re.search(r"eyJ[\w-]{20}", output)


def test_the_story_is_plain_and_holds_no_token(one_hf: Path, temporary: Path) -> None:
    """S8: what a newcomer reads, and may paste anywhere."""
    del temporary
    process = start(one_hf)
    output, _ = process.communicate(timeout=150)

    assert process.returncode == 0, output
    assert "\x1b" not in output
    assert not re.search(r"eyJ[\w-]{20}", output)
    assert "token.granted" in output
    assert output.count("refused:") >= 6


def test_one_flipped_byte_on_the_hubs_disk_is_found(one_hf: Path, temporary: Path) -> None:
    """A demo that cannot fail proves nothing: one byte of one file, between upload and download."""
    del temporary
    flipped: list[Path] = []

    def flip(moment: str, stage: Stage) -> None:
        if moment == "uploaded":
            largest = max(stage.hub_folder.rglob("blobs/*"), key=lambda path: path.stat().st_size)
            with largest.open("r+b") as blob:
                blob.seek(1_000_000)
                byte = blob.read(1)[0]
                blob.seek(1_000_000)
                blob.write(bytes([byte ^ 1]))
            flipped.append(largest)

    status = run(["--hf", str(one_hf), "--json"], observer=flip)

    assert len(flipped) == 1
    assert status == 1


def test_a_lost_publisher_is_found(one_hf: Path, temporary: Path) -> None:
    """The steps that need it go wrong, and the others go on."""
    del temporary

    def lose(moment: str, stage: Stage) -> None:
        if moment == "ready":
            publishers = json.loads(stage.administer("trust", "list", "--json").stdout)
            stage.administer("trust", "remove", publishers[0]["id"])

    summary = run_demo(hf=one_hf, observer=lose)

    assert not summary.ok
    assert len(summary.steps) == 14
    assert {step.name for step in summary.steps if step.ok} >= {"start the service", "an expired id token"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing_behind(one_hf: Path, temporary: Path, number: signal.Signals) -> None:
    """Ctrl-C, a termination and a closed terminal: no folder, no process."""
    process = start(one_hf)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("2. "):
            break
    children = children_of(process.pid)
    process.send_signal(number)
    process.communicate(timeout=60)

    assert children
    assert process.returncode == 130
    assert not [pid for pid in children if is_running(pid)]
    assert list(temporary.iterdir()) == []


def test_serve_goes_on_until_interrupted(one_hf: Path, temporary: Path) -> None:
    """`--serve`: the file it names turns a shell into a step of the job."""
    del temporary
    process = start(one_hf, "--serve")
    assert process.stdout is not None
    story = []
    for line in process.stdout:
        story.append(line)
        if "Ctrl-C ends it" in line:
            break
    text = "".join(story)
    url = re.search(r"^ +service +(http://[\d.:]+)$", text, re.MULTILINE)
    variables = re.search(r"\$ \. (\S+)", text)
    assert url is not None, text
    assert variables is not None, text
    with urllib.request.urlopen(f"{url[1]}/healthz", timeout=10) as answer:
        alive = answer.status
    shell = subprocess.run(
        ["sh", "-c", f". {variables[1]} && exec {sys.executable} -m keyless token | cut -c1-7"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert alive == 200
    assert shell.stdout.strip() == "hf_jwt_", shell.stderr
    assert process.returncode == 0


def test_keep_leaves_the_folder(one_hf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--keep`: what was made can be looked at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    summary = run_demo(hf=one_hf, keep=True)

    assert summary.ok
    assert summary.folder is not None
    assert (Path(summary.folder) / "keyless.db").exists()


def test_without_hf_it_says_what_to_install(tmp_path: Path) -> None:
    """Usage: exit 2 and a hint."""
    done = subprocess.run(
        [*KEYLESS, "demo", "--hf", str(tmp_path / "nothing")],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert "no hf program at" in done.stderr
