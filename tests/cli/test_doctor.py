"""`keyless doctor`: what a person and a program see of it, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from keyless import errors
from keyless.cli import doctor, output
from keyless.cli.main import main
from keyless.client.diagnosis.check import Cause, Check, Report, Status, cause_of, failed, ok, warning
from keyless.client.exchange import GRANT_TYPE
from keyless.testing import FakeCI, FakeIssuer
from tests.support.job import REQUEST_TOKEN, TOKEN_PATH, Job, run_cli
from tests.support.running import RunningService
from tests.support.stub import Answer, Recorded

METADATA = "/.well-known/oauth-authorization-server"


@pytest.fixture
def job() -> Iterator[Job]:
    """A GitHub-like job whose service describes itself."""
    with Job() as running:
        document = {"issuer": running.url, "grant_types_supported": [GRANT_TYPE]}
        running.on(METADATA, Answer(200, document, headers={"Date": formatdate(usegmt=True)}))
        yield running


class RecordingIssuer(FakeIssuer):
    """Remember every token, to look for it where it must not be."""

    def __init__(self) -> None:
        super().__init__(algorithm="ES256")
        self.minted: list[str] = []

    def mint(self, *arguments: Any, **named: Any) -> str:
        token = super().mint(*arguments, **named)
        self.minted.append(token)
        return token


def report_of(*checks: Check) -> Report:
    return Report(checks)


# --- what it says ----------------------------------------------------------------------------------------------------


def test_it_names_the_cause_and_the_lines_to_write(job: Job) -> None:
    """A job without permission: the lines for the workflow file are whole, to be copied."""
    environ = job.github()
    del environ["ACTIONS_ID_TOKEN_REQUEST_URL"], environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    result = run_cli("doctor", environ=environ)

    assert result.returncode == 3
    assert result.stderr == ""
    assert "!! provider      GitHub Actions" in result.stdout
    assert "          permissions:\n            id-token: write\n            contents: read\n" in result.stdout
    assert result.stdout.splitlines()[-1] == "failed: provider. Begin with the first."


def test_outside_any_ci_it_says_what_is_missing() -> None:
    """No configuration, no CI, no network."""
    result = run_cli("doctor", "--timeout", "5", environ={"HF_ENDPOINT": "http://127.0.0.1:9"})

    assert (result.returncode, result.stderr) == (3, "")
    assert "this does not look like a CI job" in result.stdout
    assert "HF_OIDC_RESOURCE=namespace/name" in result.stdout


def test_json_is_one_stable_document(job: Job) -> None:
    """`{ok, checks: [{id, status, seen, problem, fix}]}` and nothing else on stdout."""
    result = run_cli("doctor", "--json", "--exchange", environ=job.github())
    document = json.loads(result.stdout)

    assert (result.returncode, result.stderr) == (1, "")  # the stub's id token names no issuer
    assert document["ok"] is False
    assert [check["id"] for check in document["checks"]] == [
        "resource",
        "endpoint",
        "variables",
        "token_source",
        "provider",
        "id_token",
        "claims",
        "clock",
        "reachability",
        "publisher",
        "exchange",
    ]
    assert {tuple(check) for check in document["checks"]} == {("id", "status", "seen", "problem", "fix")}
    assert {check["status"] for check in document["checks"]} == {"ok", "warning", "failed", "skipped"}


@pytest.mark.parametrize("exchange", [[], ["--exchange"]], ids=["look", "exchange"])
@pytest.mark.parametrize("style", [[], ["--json"]], ids=["text", "json"])
def test_no_secret_on_any_way_out(job: Job, tmp_path: Path, exchange: list[str], style: list[str]) -> None:
    """S8: request token, id token, access token and stored tokens, with every debug switch on."""
    stored = {"HF_TOKEN": "plainstoredvariable0123456789abcdefg", "HF_HOME": str(tmp_path)}
    (tmp_path / "token").write_text("plainstoredfile0123456789abcdefghijk")

    def refuse(request: Recorded) -> Answer:
        token = str(request.json()["subject_token"])
        description = f"you sent {token}, half of it is {token[20:90]}"
        return Answer(400, {"error": "invalid_grant", "error_description": description})

    with RecordingIssuer() as issuer, FakeCI.github(issuer) as ci:
        tokens = issuer.minted
        environ = {**job.github(), **ci.environ(), **stored, "HF_DEBUG": "1", "KEYLESS_DEBUG": "traceback"}
        granted = run_cli("doctor", *exchange, *style, environ=environ)
        job.on(TOKEN_PATH, refuse)
        refused = run_cli("doctor", *exchange, *style, environ=environ)

    assert (granted.returncode, refused.returncode) == (0, 4 if exchange else 0)
    assert job.exchanges == (2 if exchange else 0)
    shown = granted.stdout + granted.stderr + refused.stdout + refused.stderr
    secrets = [
        *tokens,
        job.access_token(),
        REQUEST_TOKEN,
        environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
        stored["HF_TOKEN"],
        (tmp_path / "token").read_text(),
    ]
    assert len(tokens) == 2
    assert [s[i : i + 12] for s in secrets for i in range(len(s) - 11) if s[i : i + 12] in shown] == []


def test_a_secret_in_a_variable_for_a_name_is_not_shown() -> None:
    """S8: the token itself in KEYLESS_ID_TOKEN_VAR, which every other message would quote."""
    secret = "mytokenitself-0123456789-abcdefghijklmnop"
    result = run_cli("doctor", environ={"KEYLESS_ID_TOKEN_VAR": secret, "HF_ENDPOINT": "http://127.0.0.1:9"})

    assert result.returncode == 2
    assert [secret[i : i + 12] for i in range(len(secret) - 11) if secret[i : i + 12] in result.stdout] == []


# --- how it looks ----------------------------------------------------------------------------------------------------


def test_lines_fit_eighty_columns(job: Job) -> None:
    """But for what is to be copied, and what cannot be broken."""
    report = run_cli("doctor", environ=job.github(HF_TOKEN="x" * 40, KEYLESS_TIMOUT="1", HF_OIDC_RESOURCE="a b c"))
    cause, fix, gap, *lines = report.stdout.splitlines()
    long = [line for line in lines if len(line) > doctor.COLUMNS]

    assert long == []
    assert (cause[:18], fix[:5], gap) == ("failed: resource: ", "fix: ", "")
    assert lines[0] == "!! resource      HF_OIDC_RESOURCE is 'a b c'"


def test_lines_to_copy_are_not_broken() -> None:
    """A broken line of YAML or shell is another line."""
    line = "    " + "x" * 90 + " " + "y" * 90
    text = doctor.as_text(report_of(failed("resource", "s", "p", f"Write:\n{line}", cause=Cause.OTHER)))

    assert f"      {line}\n" in text


def test_marks_and_sentences() -> None:
    """One mark per result; a problem ends like a sentence, once."""
    text = doctor.as_text(
        report_of(
            ok("a", "fine"),
            warning("b", "odd", "is it so?", "Look."),
            failed("c", "bad", "it is so", "Mend it:\n    mend", cause=Cause.OTHER),
            Check("d", Status.SKIPPED, "not needed"),
        )
    )

    assert text.splitlines() == [
        "failed: c: it is so",
        "fix: Mend it: mend",
        "",
        "ok a             fine",
        "!  b             odd",
        "      is it so?",
        "      -> Look.",
        "!! c             bad",
        "      it is so.",
        "      -> Mend it:",
        "          mend",
        "-- d             not needed",
        "",
        "failed: c; to look at: b. Begin with the first.",
    ]


def test_the_last_line_of_a_good_report() -> None:
    """Whether it was tried, or only looked at."""
    looked = doctor.as_text(report_of(ok("a", "s"), Check("exchange", Status.SKIPPED, "no")))
    tried = doctor.as_text(report_of(warning("a", "s", "p", "f"), ok("exchange", "granted")))

    assert looked.endswith("nothing is in the way of a token, as far as can be seen from here.")
    assert tried.endswith("a token was granted; to look at: a.")


def test_colours_change_nothing_else() -> None:
    """A log and a terminal say the same."""
    report = report_of(ok("a", "fine"))

    assert "\033[32mok\033[0m a" in doctor.as_text(report, colour=True)
    assert "\033" not in doctor.as_text(report)


def test_a_claim_in_any_script_is_printed_in_any_encoding() -> None:
    """A runner with an ASCII locale must not end in a traceback."""
    with FakeIssuer(algorithm="ES256") as issuer, FakeCI.github(issuer, {"environment": "продукция"}) as ci:
        environ = {**ci.environ(), "HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONIOENCODING": "ascii"}
        result = run_cli("doctor", environ=environ)

    assert (result.returncode, result.stderr) == (5, "")
    assert r"environment \u043f\u0440" in result.stdout


# --- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("causes", "code"),
    [
        ([], 0),
        ([Cause.OTHER], 1),
        ([Cause.OTHER, Cause.REFUSED], 4),
        ([Cause.REFUSED, Cause.UNREACHABLE], 5),
        ([Cause.UNREACHABLE, Cause.PROVIDER], 3),
        ([Cause.PROVIDER, Cause.CONFIGURATION, Cause.OTHER], 2),
    ],
)
def test_which_exit_code_wins(causes: list[Cause], code: int) -> None:
    """2 before 3 before 5 before 4 before 1, whatever the order of the checks."""
    checks = [failed(str(number), "s", "p", "f", cause=cause) for number, cause in enumerate(causes)]

    assert doctor.exit_code(report_of(*checks, warning("w", "s", "p", "f"))) == code


@pytest.mark.parametrize(
    "error",
    [
        errors.OIDCConfigurationError("x"),
        errors.AudienceError("x"),
        errors.ProviderNotFoundError("x"),
        errors.IdTokenPermissionError("x"),
        errors.MintError("x", status=403),
        errors.MintError("x", status=400),
        errors.MintUnavailableError("x"),
        errors.ExchangeRefusedError("x", status=400),
        errors.ExchangeUnavailableError("x"),
        errors.ResponseError("x"),
        errors.TransportError("x", retryable=True),
        errors.TransportError("x", retryable=False),
        errors.Error("x"),
    ],
    ids=lambda error: (
        type(error).__name__ + "".join(f"-{part}" for part in vars(error).values() if part not in {"x", None})
    ),
)
def test_an_error_has_the_exit_code_of_every_other_verb(error: errors.Error) -> None:
    """Design 5: one table of exit codes."""
    assert doctor.EXIT_CODES[cause_of(error)] == output.exit_code(error)


def test_a_refusal_ends_with_4(job: Job) -> None:
    """The exchange's own words and its request id are there."""
    answer = Answer(400, {"error": "invalid_grant", "error_description": "no"}, headers={"X-Request-Id": "req-3"})
    job.on(TOKEN_PATH, answer)
    with FakeIssuer(algorithm="ES256") as issuer, FakeCI.github(issuer) as ci:
        result = run_cli("doctor", "--exchange", environ={**job.github(), **ci.environ()})

    assert result.returncode == 4
    assert "invalid_grant: no (request id req-3)." in " ".join(result.stdout.split())


@pytest.mark.parametrize("words", [["--timeout", "soon"], ["--timeout", "0"], ["--timeout", "601"], ["acme/model"]])
def test_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, nothing on stdout."""
    assert main(["doctor", *words]) == 2
    assert capsys.readouterr().out == ""


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage, marks, examples and exit codes."""
    assert main(["doctor", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: keyless doctor")
    assert "exit codes: 0" in out


def test_the_timeout_bounds_everything(job: Job) -> None:
    """A silent service costs half a second, not fifteen."""
    job.on(METADATA, Answer(hangs=True))
    started = time.monotonic()
    result = run_cli("doctor", "--timeout", "0.5", environ=job.handed_over())

    assert time.monotonic() - started < 12
    assert "gave no complete answer" in " ".join(result.stdout.split())


def test_no_other_verb_pays_for_it() -> None:
    """D18: `keyless token` loads nothing of the doctor."""
    program = "import sys, keyless.cli.main, keyless.cli.token; print([m for m in sys.modules if 'diagnosis' in m])"
    environ = {"PATH": os.environ["PATH"]}
    shown = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"


# --- with the real service -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_advice_mends_a_refusal(tmp_path: Path) -> None:
    """D12: a job that nobody trusts is refused; the command that the doctor prints makes it accepted."""
    with FakeIssuer() as issuer, FakeCI.github(issuer, {"ref": "refs/heads/it's new"}) as ci:
        service = RunningService(tmp_path, issuer)
        service.start()
        try:
            environ = {**ci.environ(), "HF_ENDPOINT": service.url, "HF_OIDC_RESOURCE": "acme/model"}
            refused = run_cli("doctor", "--exchange", environ=environ)
            command = refused.stdout[refused.stdout.index("keyless trust add") :].partition("\n\n")[0]
            words = shlex.split(command.replace("\\\n", ""))  # as a shell joins lines
            added = run_cli(*words[1:], "--config", "keyless.toml", environ={}, cwd=tmp_path)
            granted = run_cli("doctor", "--exchange", environ=environ)
        finally:
            service.stop()

    assert (refused.returncode, added.returncode, granted.returncode) == (4, 0, 0), added.stderr
    assert "wants something else for branch (the job's is it's new)" in refused.stdout
    assert "and revoked again" in " ".join(granted.stdout.split())
    assert granted.stdout.splitlines()[-1] == "a token was granted."
