"""The tutorial's commands, taken out of the page and run where nothing is installed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.journeys.page_stage import PROMPT, matches
from tests.support.pages import ROOT, Block, blocks_of
from tests.support.running import free_port

pytestmark = pytest.mark.journey

PAGE = ROOT / "docs" / "tutorial.md"
WHEELS = ROOT / ".venvs" / "wheels"
# All that there is on the machine besides Python: no curl, no git, no make, no jq.
TOOLS = ("bash", "sh", "cat", "echo", "grep", "mkdir", "sleep", "env")
MARK = "\x1e"
SECONDS = 150
SETSID = shutil.which("setsid") or "setsid"


class Machine:
    """An empty folder, a terminal with one shell in it, and somebody who reads and types."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.printed = ""
        self.names = {f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in (8080, 8081)}
        shutil.copy(wheel, folder)
        tools = folder / "tools"
        tools.mkdir()
        for name in TOOLS:
            found = shutil.which(name)
            assert found is not None
            (tools / name).symlink_to(found)
        (tools / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
        (folder / "home").mkdir()
        self.environment = {
            "PATH": str(tools),
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "COLUMNS": "1000",
            # As from an index, but for the network.
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(WHEELS),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def real(self, text: str) -> str:
        """Return a text with the ports that are free here."""
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def start(self) -> None:
        """Open the terminal."""
        self._leader, follower = pty.openpty()
        self._shell = subprocess.Popen(
            [SETSID, "--ctty", "--wait", str(self.folder / "tools" / "bash"), "--noprofile", "--norc"],
            cwd=self.folder,
            env={**self.environment, "PS1": "", "PS2": "", "TERM": "dumb"},
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)

    def type(self, command: str) -> tuple[int, str]:
        """Type a command, answer what it asks for, and return its status with what it printed."""
        start = len(self.printed)
        # In one line: what is typed ahead is thrown away by a program that asks for a secret.
        joint = " " if command.endswith("&") else "; "
        os.write(self._leader, f"{command}{joint}printf '\\n\\036%s\\036\\n' $?\n".encode())
        answered = 0
        ends_at = time.monotonic() + SECONDS
        while time.monotonic() < ends_at:
            if not select.select([self._leader], [], [], 1)[0]:
                continue
            self.printed += os.read(self._leader, 65536).decode(errors="replace")
            text = self.printed[start:]
            if text.count(f"{PROMPT} ") > answered:
                answered += 1
                code: str = re.findall(r"klc-\S+", self.printed)[-1]
                os.write(self._leader, f"{code}\n".encode())
            # The terminal shows what is typed, too: the mark with a number in it is the one that was printed.
            if (found := re.search(rf"{MARK}(\d+){MARK}", text)) is not None:
                return int(found[1]), text[: found.start()]
        raise AssertionError(f"{command} did not end: {self.printed[start:]}")

    def close(self) -> None:
        """End the shell and whatever it left behind."""
        for number in (signal.SIGHUP, signal.SIGKILL):
            for pid in _session(self._shell.pid):
                with_no_fuss(pid, number)
            time.sleep(0.2)
        os.close(self._leader)
        self._shell.wait(30)


def _session(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def with_no_fuss(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes; whether it is the same twice is another test's."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = target.glob("*.whl")
    return built


@pytest.mark.timeout(600)  # a slow machine makes an environment and starts a dozen programs
def test_its_commands_run_from_top_to_bottom(tmp_path: Path, wheel: Path) -> None:
    """A newcomer with Python and the wheel gets from nothing to a keyless publish, and sees what the page shows."""
    if not list(WHEELS.glob("*.whl")):
        pytest.fail(f"{WHEELS} is empty: run `make journeys`")
    machine = Machine(tmp_path, wheel)
    machine.start()
    try:
        for block in blocks_of(PAGE):
            if "file" in block.options:
                (tmp_path / block.options["file"]).write_text(machine.real(block.text))
            else:
                run(machine, block)
        left = [pid for pid in _session(machine._shell.pid) if pid != machine._shell.pid]
        ends_at = time.monotonic() + 30
        while left and time.monotonic() < ends_at:
            time.sleep(0.1)
            left = [pid for pid in _session(machine._shell.pid) if pid != machine._shell.pid]
    finally:
        machine.close()

    assert left == [], "something that the page started still runs"
    assert (tmp_path / "hub").is_dir()


def run(machine: Machine, block: Block) -> None:
    """Type the commands of a block; the last ends with the status that its fence names."""
    assert block.language == "console", block.place
    commands = block.commands()
    for number, command in enumerate(commands):
        wanted = int(block.options.get("status", 0)) if number == len(commands) - 1 else 0
        publishers = re.findall(r"pub_[a-z2-7]{20}", machine.printed)
        text = machine.real(command.text).replace("pub_…", publishers[-1] if publishers else "pub_…")
        status, printed = machine.type(text)
        assert status == wanted, f"{block.place}: {command.text}\nended with {status}: {printed}"
        assert matches(machine.real(command.output), printed), f"{block.place}: {command.text}\nprinted {printed}"


def test_it_is_what_a_newcomer_can_do_in_ten_minutes() -> None:
    """Not more than a page of commands, and none that needs another tool."""
    commands = [
        command.text for block in blocks_of(PAGE) if block.language == "console" for command in block.commands()
    ]
    known = {*TOOLS, "python3", "python", "pip", "keyless", "sh", ".", "until", "kill", "deactivate"}

    assert len(commands) <= 25
    assert {command.split()[0] for command in commands} <= known
