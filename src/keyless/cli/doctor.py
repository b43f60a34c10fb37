"""`keyless doctor`: look at everything a keyless token depends on, and say what to change."""

from __future__ import annotations

import os
import sys
import textwrap

from keyless.cli import output
from keyless.cli.options import HelpRequested, UsageError, parse_options
from keyless.cli.terminal import has_colour
from keyless.client.diagnosis.check import Cause, Check, Report, Status
from keyless.client.diagnosis.diagnose import DEFAULT_SECONDS, diagnose
from keyless.client.environment import MAX_TIMEOUT_SECONDS
from keyless.http.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, TextIO

HELP: Final = """\
usage: keyless doctor [--resource R] [--endpoint URL] [--exchange] [--timeout SECONDS] [--json]

Check, in the order a token goes: configuration, CI platform and permission, id token, claims, clock, the way to the
service, and which trusted publisher accepts the job. Where something is wrong it prints the lines to change in the CI
file, the first of them on top. Works anywhere, with no configuration.

  --resource R       what the token is for (default: HF_OIDC_RESOURCE)
  --endpoint URL     base URL of the service (default: HF_ENDPOINT, else https://huggingface.co)
  --exchange         also exchange the id token, then revoke what came: this spends a one-time id token
  --timeout SECONDS  time for everything (default: 15)
  --json             print {"ok": …, "checks": [{"id", "status", "seen", "problem", "fix"}, …]}

marks: ok, ! a warning, !! failed, -- not checked. No token is ever printed.

examples:
  keyless doctor
  keyless doctor --resource acme/model --exchange
  keyless doctor --json | jq '.checks[] | select(.status == "failed")'

exit codes: 0 nothing failed (there may be warnings), 2 configuration, 3 no CI platform or it gives no id token,
5 unreachable or failing, 4 refused, 1 anything else. Of several the first in this order."""

# The first that applies is the exit code: what the job's author can mend comes before what is worth another try.
EXIT_CODES: Final[Mapping[Cause, int]] = {
    Cause.CONFIGURATION: output.EXIT_USAGE,
    Cause.PROVIDER: output.EXIT_NO_PROVIDER,
    Cause.UNREACHABLE: output.EXIT_OUTAGE,
    Cause.REFUSED: output.EXIT_REFUSED,
    Cause.OTHER: output.EXIT_OTHER,
}
COLUMNS: Final = 80
_MARKS: Final = {Status.OK: "ok", Status.WARNING: "!", Status.FAILED: "!!", Status.SKIPPED: "--"}
_COLOURS: Final = {
    Status.OK: "\033[32m",
    Status.WARNING: "\033[33m",
    Status.FAILED: "\033[31m",
    Status.SKIPPED: "\033[2m",
}
_RESET: Final = "\033[0m"
_NAME_COLUMNS: Final = 14  # of the longest name of a check, and a gap


def run(argv: list[str]) -> int:
    """Run the verb."""
    try:
        options = parse_options(
            "doctor", argv, valued=("--resource", "--endpoint", "--timeout"), flags=("--exchange", "--json")
        )
    except HelpRequested:
        output.help_page(HELP)
        return 0
    report = diagnose(
        os.environ,
        resource=options.one("--resource"),
        endpoint=options.one("--endpoint"),
        exchange="--exchange" in options.flags,
        deadline=Deadline(_seconds(options.one("--timeout"))),
    )
    if "--json" in options.flags:
        output.json_data(report.as_json())
    else:
        output.data(_encodable(as_text(report, colour=has_colour(sys.stdout)), sys.stdout))
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return 0 when nothing failed, else the code of the first cause in `EXIT_CODES` that a check has."""
    if report.ok:
        return output.EXIT_OK
    return next((code for cause, code in EXIT_CODES.items() if cause in report.causes), output.EXIT_OTHER)


def _seconds(text: str | None) -> float:
    if text is None:
        return DEFAULT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:  # also refuses nan
        raise UsageError(f"--timeout is a number of seconds, above 0 and at most {MAX_TIMEOUT_SECONDS:g}")
    return seconds


# --- text ------------------------------------------------------------------------------------------------------------


def as_text(report: Report, *, colour: bool = False) -> str:
    """Return the report for people: cause and fix of the first failure, then every check.

    Lines have at most 80 characters, but for those first two, URLs and lines of a CI file.
    """
    lines = _head(report)
    for check in report.checks:
        lines += _check_lines(check, colour=colour)
    return "\n".join([*lines, "", *_summary(report)])


def _head(report: Report) -> list[str]:
    """Return what is wrong first and what to do about it, a line each, for a log of which only the top is read."""
    worst = Status.WARNING if report.ok else Status.FAILED
    found = [check for check in report.checks if check.status is worst]
    if not found:
        return []
    # A misspelt name explains whatever else is missing.
    first = next((check for check in found if check.id == "variables"), found[0])
    # The lines of a CI file stand below each other further down; here they share a line.
    fix = " ".join(part.removesuffix("\\").strip() for part in (first.fix or "").splitlines())
    return [f"{worst.value}: {first.id}: {first.problem}", f"fix: {fix}", ""]


def _check_lines(check: Check, *, colour: bool) -> list[str]:
    mark = _MARKS[check.status]
    shown = f"{_COLOURS[check.status]}{mark}{_RESET}" if colour else mark
    body = _wrap(check.seen, 3 + _NAME_COLUMNS)
    lines = [f"{shown}{' ' * (3 - len(mark))}{check.id:<{_NAME_COLUMNS}}{body[0].lstrip()}", *body[1:]]
    if check.problem:
        lines += _wrap(check.problem if check.problem.endswith((".", "?", "…")) else f"{check.problem}.", 6)
    for line in (check.fix or "").splitlines():
        # Indented lines are for the CI file or a shell: they are copied, so they are not broken.
        lines += [f"      {line}"] if line.startswith(" ") else _wrap(line, 6, first="-> ")
    return lines


def _wrap(text: str, indent: int, *, first: str = "") -> list[str]:
    wrapped = textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=" " * indent + first,
        subsequent_indent=" " * (indent + len(first)),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [""]


def _summary(report: Report) -> list[str]:
    failed = [check.id for check in report.checks if check.status is Status.FAILED]
    warned = [check.id for check in report.checks if check.status is Status.WARNING]
    notes = f"; to look at: {', '.join(warned)}" if warned else ""
    if not failed:
        tried = report.checks[-1].status is not Status.SKIPPED
        found = "a token was granted" if tried else "nothing is in the way of a token, as far as can be seen from here"
        return _wrap(f"{found}{notes}.", 0)
    return _wrap(f"failed: {', '.join(failed)}{notes}. Begin with the first.", 0)


def _encodable(text: str, stream: TextIO) -> str:
    """Return the text with what the stream's encoding lacks written as escapes: a claim may be in any script."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
