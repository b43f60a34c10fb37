"""`keyless admin`: the first admin, signing in over a real socket, and what lies on the disk meanwhile."""

from __future__ import annotations

import io
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyless.cli.main import main
from keyless.testing import FakeIssuer
from tests.support.running import RunningService


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


class Terminal:
    """Run `keyless` commands the way a person does, in a home of their own; in this process, which is quicker."""

    def __init__(
        self, service: RunningService, home: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.service = service
        self.home = home
        self._patch = patch
        self._capsys = capsys

    def run(self, *argv: str, typed: str | None = None, **variables: str) -> Done:
        """Run a command; `{url}` in a word is the inside listener."""
        words = [word.replace("{url}", self.service.inside_url) for word in argv]
        own = {"KEYLESS_CONFIG": "keyless.toml", "HOME": str(self.home), "XDG_CACHE_HOME": ""}
        with self._patch.context() as patch:
            patch.chdir(self.service.directory)
            for name, value in {**own, **variables}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(typed or ""))
            self._capsys.readouterr()
            status = main(words)
            captured = self._capsys.readouterr()
        return Done(status, captured.out, captured.err)

    def ok(self, *argv: str, typed: str | None = None, **variables: str) -> str:
        """Run a command that must work and return what it printed."""
        done = self.run(*argv, typed=typed, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def code(self, *argv: str) -> str:
        """Make a one-time code in a file and return it."""
        file = self.home / f"code-{len(list(self.home.iterdir()))}"
        self.ok("admin", *argv, "--file", str(file))
        return file.read_text()


@pytest.fixture
def terminal(
    tmp_path: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    (tmp_path / "home").mkdir()
    (tmp_path / "service").mkdir()
    service = RunningService(tmp_path / "service", issuer)
    service.start()
    yield Terminal(service, tmp_path / "home", monkeypatch, capsys)
    assert service.stop() == 0


@pytest.fixture(scope="session")
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as issuer:
        yield issuer


def test_from_the_first_code_to_a_colleague_who_owns_a_namespace(terminal: Terminal) -> None:
    """D13: bootstrap, login, person, code, login - and the store was touched by hand only once."""
    first = json.loads(
        terminal.ok("admin", "login", "--url", "{url}", "--name", "alice", "--json", typed=terminal.code("bootstrap"))
    )
    assert first["principal"]["name"] == "alice"
    assert "token" not in first
    terminal.ok("admin", "person", "add", "bob", "--role", "owner:acme", "--url", "{url}")
    code = terminal.code("code", "--for", "bob", "--url", terminal.service.inside_url)
    people = json.loads(terminal.ok("admin", "person", "list", "--url", "{url}", "--json"))
    assert {person["name"]: person["roles"] for person in people} == {
        "alice": [{"role": "admin", "namespace": None}],
        "bob": [{"role": "owner", "namespace": "acme"}],
    }

    assert "bob (owner:acme)" in terminal.ok("admin", "login", "--url", "{url}", typed=code)
    refused = terminal.run("admin", "person", "list", "--url", "{url}")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "admin_required" not in refused.stdout
    terminal.ok("admin", "logout", "--url", "{url}")
    assert terminal.run("admin", "whoami", "--url", "{url}").returncode == 2


def test_a_login_lies_in_a_private_file_and_nowhere_else(terminal: Terminal) -> None:
    """D13, T97: 0600; neither the log nor the settings' directory has a piece of code or login."""
    code = terminal.code("bootstrap")
    terminal.ok("admin", "login", "--url", "{url}", typed=code)
    kept = list((terminal.home / ".cache" / "keyless").iterdir())

    assert [stat.S_IMODE(file.stat().st_mode) for file in kept] == [0o600]
    token = json.loads(kept[0].read_text())["token"]
    for place in terminal.service.directory.iterdir():
        content = place.read_bytes()
        assert token[4:20].encode() not in content
        assert code.split("-")[2].encode() + b"-" not in content
    kept[0].chmod(0o644)
    assert "others may read" in terminal.run("admin", "whoami", "--url", "{url}").stderr


def test_a_code_goes_to_a_terminal_or_a_private_file_only(terminal: Terminal) -> None:
    """D13: a pipe may end in a log."""
    piped = terminal.run("admin", "bootstrap")
    assert (piped.returncode, piped.stdout) == (2, "")
    assert "--file" in piped.stderr

    terminal.ok("admin", "bootstrap", "--file", "code")
    file = terminal.service.directory / "code"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert terminal.run("admin", "bootstrap", "--file", "code").returncode == 2

    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "keyless", "admin", "bootstrap", "--config", "keyless.toml"],
        cwd=terminal.service.directory,
        stdout=follower,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 1000).decode()
    os.close(leader)
    assert shown.startswith("klc-")
    assert b"klc-" not in done.stderr


def test_a_machine_reads_with_its_token_and_changes_nothing(terminal: Terminal) -> None:
    """D13, T99: at the real service, with the token in a variable as CI has it."""
    terminal.ok("admin", "person", "add", "plan-bot", "--machine", "--role", "viewer:acme")
    terminal.ok("admin", "token", "--for", "plan-bot", "--expires", "90d", "--file", "plan.token")
    token = (terminal.service.directory / "plan.token").read_text().strip()

    shown = terminal.ok("admin", "whoami", "--url", "{url}", KEYLESS_LOGIN=token)
    assert "can only read" in shown
    refused = terminal.run("admin", "person", "add", "x", "--url", "{url}", KEYLESS_LOGIN=token)
    assert refused.returncode == 4
    access_token = str(terminal.service.exchange()[1]["access_token"])
    assert terminal.run("admin", "person", "list", "--url", "{url}", KEYLESS_LOGIN=access_token).returncode == 4


@pytest.mark.parametrize(
    ("argv", "status", "named"),
    [
        ("admin login --url http://127.0.0.1:1", 5, "127.0.0.1:1"),
        ("admin login --url ftp://x", 2, "--url"),
        ("admin whoami --url http://127.0.0.1:1", 2, "admin login"),
        ("admin code --for nobody --file c", 2, "nobody"),
        ("admin person add Bob", 2, "lower-case"),
        ("admin person add bob --role king", 2, "owner:NAMESPACE"),
        ("admin person add bob --role admin:acme", 2, "everywhere"),
        ("admin person add bot --machine --role admin", 2, "only people"),
        ("admin token --for nobody --expires 90d --file t", 2, "nobody"),
        ("admin end-login nobody lgn_x", 2, "nobody"),
    ],
)
def test_what_cannot_be_says_so(terminal: Terminal, argv: str, status: int, named: str) -> None:
    """Design 5: the exit code, one message, nothing on standard output."""
    done = terminal.run(*argv.split(), typed="klc-x")

    assert (done.returncode, done.stdout) == (status, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
