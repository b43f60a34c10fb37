"""Record a refused job, what the doctor says of it, and the job that publishes, as docs/pictures/terminal.svg.

    .venv/bin/python -m scripts.recording .venvs/hf-2.4.0/bin/hf

Everything in it was printed by a real command in a real terminal (a pty) on the demo's stage: the service, its hub, the
real hf client, and a stand-in for GitHub. A journey compares the picture with what the commands print today. Long waits
are cut short; nothing else is changed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from keyless.cli.terminal import width
from keyless.demo.stage import BRANCH, KEYLESS, MODEL, OWNER_ID, REPOSITORY, REPOSITORY_ID, WORKFLOW, Stage

PICTURE: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "terminal.svg"
COLUMNS: Final = 104
SECONDS: Final = 120.0
LONGEST_PAUSE: Final = 1.2
TYPING: Final = 0.9  # seconds for a command to appear before it runs
TITLE: Final = "A CI job is refused, keyless doctor names the claim and the fix, and on the right branch hf publishes"
_SGR: Final = re.compile(r"\x1b\[([\d;]*)m|\x1b\[[\d;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_STYLES: Final = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y"}
_ROW, _COLUMN, _MARGIN = 18, 7.83, 16  # pixels; of a 13 px monospace letter


@dataclass(frozen=True)
class Line:
    """A line of the recording: when it came, in seconds, and its parts, each with the class of its colour."""

    at: float
    parts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """Return it without its colours."""
        return "".join(text for _, text in self.parts)


class Recorder:
    """Run commands in a terminal and keep what they printed."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._now = 0.0

    def say(self, text: str) -> None:
        """Write a comment, as one does in a shell."""
        if self.lines:
            self._add((("", ""),))
        self._add((("d", f"# {text}"),))
        self._now += LONGEST_PAUSE

    def run(
        self, shown: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, *, status: int
    ) -> None:
        """Run a command to its end and record it under the line that one would type.

        Args:
            shown: The line.
            command: What it stands for: the program by its path.
            environment: All of its variables.
            folder: Where it runs.
            status: What it must end with.
        """
        self._add((("g", "$ "), ("b", shown)))
        self._now += TYPING
        variables = {**environment, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        variables.pop("NO_COLOR", None)
        outside, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        child = subprocess.Popen(command, env=variables, cwd=folder, stdin=inside, stdout=inside, stderr=inside)
        os.close(inside)
        began, printed = time.monotonic(), b""
        try:
            while chunk := _read(outside, began + SECONDS - time.monotonic()):
                printed += chunk
        finally:
            os.close(outside)
            child.kill() if time.monotonic() - began > SECONDS else None
        if child.wait() != status:
            raise SystemExit(f"{shown} ended with {child.returncode}, not {status}:\n{printed.decode()}")
        self._now += min(time.monotonic() - began, LONGEST_PAUSE)
        for line in printed.decode().replace("\r\n", "\n").rstrip().split("\n"):
            for row in _rows(_parts(line.rpartition("\r")[2])):
                self._add(row)
        self._now += LONGEST_PAUSE

    def _add(self, parts: tuple[tuple[str, str], ...]) -> None:
        self.lines.append(Line(round(self._now, 2), parts))
        self._now += 0.04


def _read(terminal: int, seconds: float) -> bytes:
    """Return what a terminal prints next, or nothing at its end."""
    if not select.select([terminal], [], [], max(0.0, seconds))[0]:
        return b""
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the last one on the other side has gone
        return b""


def _parts(line: str) -> tuple[tuple[str, str], ...]:
    """Split a line at its colours."""
    parts, style, at = [], "", 0
    for found in _SGR.finditer(line):
        parts.append((style, line[at : found.start()]))
        at = found.end()
        if found[1] is not None:
            style = _STYLES.get(found[1], "")
    return tuple(part for part in (*parts, (style, line[at:])) if part[1])


def _rows(parts: tuple[tuple[str, str], ...]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Break a line where the terminal does."""
    row: list[tuple[str, str]] = []
    room = COLUMNS
    for style, text in parts:
        rest = text
        while width(rest) > room:
            cut = next(i for i in range(len(rest), -1, -1) if width(rest[:i]) <= room)
            yield (*row, (style, rest[:cut]))
            row, rest, room = [], rest[cut:], COLUMNS
        row.append((style, rest))
        room -= width(rest)
    yield tuple(row)


def record(hf: Path) -> list[Line]:
    """Play the scenes and return what was on the screen.

    Args:
        hf: The real client's program.
    """
    recorder = Recorder()
    with Stage(hf, keep=False) as stage:
        stage.administer("trust", "issuer", "add", stage.issuer.url, "--kind", "github", "--network", "loopback")
        stage.administer(
            "trust", "add", MODEL, "--issuer", stage.issuer.url, "--repository", REPOSITORY, "--branch", BRANCH,
            "--workflow", WORKFLOW, "--repository-id", REPOSITORY_ID, "--repository-owner-id", OWNER_ID,
        )  # fmt: skip
        stage.start_service()
        main = stage.github.first
        file = f"{REPOSITORY}/.github/workflows/{WORKFLOW}@refs/heads/dev"
        dev = stage.github.job(ref="refs/heads/dev", workflow_ref=file, job_workflow_ref=file)
        job = stage.folder / "job"
        upload = [str(hf), "upload", MODEL, "model", "."]
        recorder.say("a CI job on the branch dev; no secret is stored anywhere")
        recorder.run("keyless doctor", [*KEYLESS, "doctor"], stage.step_environment(dev, MODEL), job, status=4)
        recorder.say(f"the same step on {BRANCH}, with the unmodified hf")
        recorder.run(f"hf {' '.join(upload[1:])}", upload, stage.step_environment(main, MODEL), job, status=0)
    return recorder.lines


def svg(lines: Sequence[Line]) -> str:
    """Draw the lines: each appears at its time, once; where nothing moves, all are there from the start."""
    wide = int(2 * _MARGIN + _COLUMN * max(width(line.text) for line in lines))
    high = 2 * _MARGIN + _ROW * len(lines)
    drawn = []
    for number, line in enumerate(lines):
        text = "".join(f'<tspan class="{style or "p"}">{escape(part)}</tspan>' for style, part in line.parts)
        y = _MARGIN + _ROW * (number + 1) - 5
        drawn.append(f'<text x="{_MARGIN}" y="{y}" style="animation-delay:{line.at:g}s">{text}</text>')
    body = "\n".join(drawn)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" role="img" \
aria-labelledby="title">
<title id="title">{escape(TITLE)}</title>
<style>
rect {{ fill: #ffffff; stroke: #d0d7de; }}
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; \
animation: appear 1ms both; }}
.p {{ fill: #1f2328; }} .b {{ fill: #1f2328; font-weight: 700; }} .d {{ fill: #59636e; }}
.r {{ fill: #b91c1c; font-weight: 700; }} .g {{ fill: #116329; font-weight: 700; }}
.y {{ fill: #7d4e00; font-weight: 700; }}
@media (prefers-color-scheme: dark) {{
rect {{ fill: #0d1117; stroke: #3d444d; }}
.p {{ fill: #e6edf3; }} .b {{ fill: #ffffff; }} .d {{ fill: #9198a1; }}
.r {{ fill: #ff7b72; }} .g {{ fill: #56d364; }} .y {{ fill: #e3b341; }}
}}
@keyframes appear {{ from {{ opacity: 0; }} to {{ opacity: 1; }} }}
@media (prefers-reduced-motion: reduce) {{ text {{ animation: none; }} }}
</style>
<rect x="0.5" y="0.5" width="{wide - 1}" height="{high - 1}" rx="8"/>
{body}
</svg>
"""


def main() -> None:
    """Record and write the picture."""
    parser = argparse.ArgumentParser(description="Record the terminal for the README.")
    parser.add_argument("hf", type=Path)
    lines = record(parser.parse_args().hf.absolute())
    PICTURE.write_text(svg(lines), encoding="utf-8")
    print(f"wrote {PICTURE.name}: {len(lines)} lines, {lines[-1].at:.0f} s")


if __name__ == "__main__":
    main()
