"""An empty machine for the commands of one page: a service with its hub, a job on a fake GitHub, and nothing else.

What a page calls by an example's name is called by its real one here: the service's address, the folders of a server,
an id that a page shortens to `pub_…`. Everything else runs as it stands.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from keyless.demo.artifacts import write_dataset, write_model
from keyless.resource import parse_resource
from keyless.server.store.admin import NewPublisher
from keyless.testing import FakeCI, FakeIssuer, github_claims
from tests.support.pages import Block, Command
from tests.support.postgres import binaries, running_postgres
from tests.support.running import RunningService

HUB = "https://hub.example.org"
GITHUB = "https://token.actions.githubusercontent.com"
FILE = "acme/widgets/.github/workflows/train.yml@refs/heads/main"
CLAIMS = {"repository": "acme/widgets", "workflow_ref": FILE, "job_workflow_ref": FILE}
MARK = "\x1e"
PROMPT = "one-time code:"
# Nothing outside can be asked, so an issuer that is added is not asked for its keys; nothing else is changed.
KEYLESS = """#!/bin/sh
case "$1 $2 $3 $*" in
"trust issuer add"*127.0.0.1*) set -- "$@" --network loopback ;;
"trust issuer add"*--jwks-file*|"trust issuer add"*--no-fetch*) ;;
"trust issuer add"*) set -- "$@" --no-fetch ;;
esac
exec {python} -m keyless "$@"
"""


@dataclass(frozen=True)
class Needs:
    """What a page takes for granted.

    Args:
        before: Commands that its reader has run before.
        settings: Lines of the service's settings; `ISSUER` in them is the URL of the further issuer.
        names: Examples' names in its commands, with the real ones; they are whole words.
        learnt: Examples' names, with a pattern that finds the real one in what a command printed.
        permission: The job may have an id token.
        issuer: The example's name of a further issuer that can be asked for its keys, `2026-10` and `2026-11`.
        service: A service runs; else there is its database only.
        postgres: There is a PostgreSQL server, too.
        job: Makes the job of another platform than GitHub, whose issuer is that further one; for an audience.
    """

    before: tuple[str, ...] = ()
    settings: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    learnt: Mapping[str, str] = field(default_factory=dict)
    permission: bool = True
    issuer: str | None = None
    service: bool = True
    postgres: bool = False
    job: Callable[[FakeIssuer, str], Any] | None = None


class PageStage:
    """One page's machine.

    Args:
        folder: An empty folder.
        hf: The real client.
        needs: What the page takes for granted.
    """

    def __init__(self, folder: Path, hf: Path, needs: Needs) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}
        self._hf = hf
        self._needs = needs
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:
            self.issuer = self._exits.enter_context(FakeIssuer())
            asked = self._exits.enter_context(FakeIssuer())
            asked.rotate()
            first, second = sorted(asked.kids)
            if self._needs.issuer:
                self.names |= {self._needs.issuer: asked.url, "2026-10": first, "2026-11": second}
            settings = f'token_profile = "huggingface"\n{self._needs.settings.replace("ISSUER", asked.url)}'
            self.service = RunningService(self.folder, self.issuer, hub=True, settings=settings)
            self._publishers()
            if self._needs.service:
                self.service.start()
                self._exits.callback(self.service.stop)
            self.environment = {
                "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
                "HOME": str(self.folder / "home"),
                "LANG": "C.UTF-8",
                "NO_COLOR": "1",
                "KEYLESS_CONFIG": str(self.folder / "keyless.toml"),
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                **self._job(asked),
            }
            self._furnish()
            for command in self._needs.before:
                done = self._shell(command)
                assert done.returncode == 0, f"{command}: {done.stdout}"
            self._kept = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def _job(self, asked: FakeIssuer) -> dict[str, str]:
        """Return what the job sees: on GitHub with a workflow's variables, elsewhere without."""
        if self._needs.job is None:
            github = self._exits.enter_context(FakeCI.github(self.issuer, CLAIMS))
            job = github.job(id_token_permission=self._needs.permission)
            return {"HF_ENDPOINT": self.service.url, "HF_OIDC_RESOURCE": "acme/awesome-model", **job.environ()}
        job = self._needs.job(asked, self.service.url)
        if hasattr(job, "__enter__"):
            self._exits.enter_context(job)
        return dict(job.environ())

    def _publishers(self) -> None:
        """Trust the job, for what the pages publish."""
        administration = self.service.administration()
        try:
            for name in ("acme/awesome-model", "datasets/acme/awesome-data"):
                added = administration.add_publisher(
                    NewPublisher(
                        resource=parse_resource(name),
                        issuer_url=self.issuer.url,
                        claims={"repository": ["acme/widgets"], "branch": ["main"]},
                        pins={"repository_id": "456789", "repository_owner_id": "123456"},
                    )
                )
                self.publisher = added.id
        finally:
            administration.close()

    def _furnish(self) -> None:
        for name in ("bin", "home", "var/hub", "backups", "elsewhere"):
            (self.folder / name).mkdir(parents=True)
        write_model(self.folder / "model")
        write_dataset(self.folder / "data")
        program = self.folder / "bin" / "keyless"
        program.write_text(KEYLESS.format(python=shlex.quote(sys.executable)))
        program.chmod(0o755)
        (self.folder / "bin" / "hf").symlink_to(self._hf)
        # What a job installs is there; anything else of Python is Python's.
        python = self.folder / "bin" / "python"
        python.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "-m pip install" ] || exec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        token = self.issuer.mint(github_claims(aud=self.service.url, **CLAIMS))
        request = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": token,
            "resource": "acme/awesome-model",
        }
        other = FILE.replace("main", "dev")
        job = github_claims(aud="x", ref="refs/heads/dev", workflow_ref=other, job_workflow_ref=other)
        (self.folder / "request.json").write_text(json.dumps(request))
        (self.folder / "job.json").write_text(json.dumps({**job, "iss": GITHUB}))
        (self.folder / "jwks.json").write_text(json.dumps(self.issuer.key_set()))
        self.names |= {
            HUB: self.service.url,
            **({"http://127.0.0.1:8081": self.service.inside_url} if self._needs.service else {}),
            "127.0.0.1:8080": "127.0.0.1:0",
            "127.0.0.1:8081": "127.0.0.1:0",
            "/var/lib/keyless": str(self.folder / "var"),
            "/var/backups": str(self.folder / "backups"),
            "/mnt/elsewhere": str(self.folder),
            "/etc/docker/registry": str(self.folder / "var"),
        }
        if self._needs.postgres:
            self._install_postgres()

    def _install_postgres(self) -> None:
        """Let the page's database server be one of our own, and `systemctl stop` the way to stop the service."""
        server = self._exits.enter_context(running_postgres())
        self.environment["PATH"] = f"{binaries()}:{self.environment['PATH']}"
        self.environment |= {"PGHOST": str(server.folder), "PGPORT": str(server.port), "PGUSER": "owner"}
        self.names["postgresql://owner@db.internal/keyless"] = f"postgresql://owner@/keyless?host={server.folder}"
        stop = self.folder / "bin" / "systemctl"
        pid = self.service.pid
        stop.write_text(f'#!/bin/sh\n[ "$*" = "stop keyless" ] || exit 2\nkill {pid}\n')
        stop.chmod(0o755)

    def real(self, text: str) -> str:
        """Return a text with real names in place of an example's."""
        for name, value in self.names.items():
            text = text.replace(name, value)
        for name, value in self._needs.names.items():
            text = re.sub(rf"\b{re.escape(name)}\b", value.replace("\\", r"\\"), text)
        return text

    def write(self, block: Block) -> None:
        """Put a block into the file that its fence names."""
        path = self.folder / block.options["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.real(block.text))
        if block.language == "sh":
            path.chmod(0o755)

    def run(self, block: Block) -> list[tuple[Command, int, str]]:
        """Run a block in one shell; what it exports stays for the blocks after it.

        Returns:
            Each command with its status and what it printed, errors included.
        """
        commands = block.commands() if block.language == "console" else [Command(block.text, "")]
        state = self.folder / ".shell"
        lines = [f". {state}" if state.exists() else ":"]
        for command in commands:
            text = self.real(command.text).replace("pub_…", self.publisher)
            lines += [text, f"printf '\\n{MARK}%s\\n' $?"]
        lines.append(f"export -p > {state}")
        printed = self._terminal("\n".join(lines)) if "tty" in block.options else self._shell("\n".join(lines)).stdout
        parts = re.split(rf"\r?\n{MARK}(\d+)\r?\n", printed)
        assert len(parts) == 2 * len(commands) + 1, f"{block.place}: the shell ended early: {printed}"
        for name, pattern in self._needs.learnt.items():
            if (found := re.search(pattern, printed)) is not None:
                self.names[name] = found[1]
        return [
            (command, int(parts[2 * number + 1]), parts[2 * number].strip()) for number, command in enumerate(commands)
        ]

    def _shell(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )

    def _terminal(self, script: str) -> str:
        """Run a script where a person sits: the one-time code that was shown is typed in when it is asked for."""
        leader, follower = pty.openpty()
        command = ["setsid", "--ctty", "--wait", "bash", "-c", script]
        child = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        printed, answered = "", 0
        try:
            while True:
                try:
                    piece = os.read(leader, 4096).decode()
                except OSError:  # EIO: nobody has the other end any more
                    break
                printed += piece
                if printed.count(PROMPT) > answered:
                    answered += 1
                    code: str = re.findall(r"klc-\S+", printed)[-1]
                    os.write(leader, f"{code}\n".encode())
        finally:
            os.close(leader)
            child.wait(30)
        return printed

    def shown(self, page_text: str, printed: str) -> bool:
        """Tell whether a page shows what was printed (see `matches`)."""
        # The fake issuer signs for GitHub's here, and is called by its own name.
        return matches(self.real(page_text).replace(GITHUB, "…").replace("https://github.com/", "…/"), printed)


def matches(page_text: str, printed: str) -> bool:
    """Tell whether a page shows what was printed: `…` stands for anything, any number for any other."""
    pattern = r"\s+".join(
        "".join(
            ".*?" if part == "…" else r"\d+" if part.isdigit() else re.escape(part)
            for part in re.findall(r"…|\d+|[^…\d]+", word)
        )
        for word in page_text.split()
    )
    return re.search(pattern, printed, re.DOTALL) is not None
