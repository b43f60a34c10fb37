"""The stage: a fake GitHub, a real service with its hub, two trusted publishers, and a temporary folder for it all."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from keyless.demo.artifacts import write_dataset, write_model
from keyless.demo.children import INTERRUPTS, Background, DemoError, Finished, run_child
from keyless.server.store import open_store
from keyless.testing.github import FakeGitHub, GitHubJob
from keyless.testing.issuer import FakeIssuer

MODEL: Final = "acme/awesome-model"
DATASET_NAME: Final = "acme/awesome-data"
DATASET: Final = f"datasets/{DATASET_NAME}"
REPOSITORY: Final = "acme/widgets"
REPOSITORY_ID: Final = "456789"
OWNER_ID: Final = "123456"
WORKFLOW: Final = "train.yml"
BRANCH: Final = "main"
# What a program needs to run at all; nothing of the caller's login, CI or proxy gets through.
INHERITED: Final = ("LANG", "LC_ALL", "PATH", "SYSTEMROOT", "TMPDIR")
# The command of this very installation, whatever PATH says.
KEYLESS: Final = (sys.executable, "-m", "keyless")


class Stage:
    """Everything the demo needs, from `__enter__` to `__exit__`.

    Args:
        hf: The real client's program.
        keep: Leave the folder when done.
    """

    def __init__(self, hf: Path, *, keep: bool) -> None:
        self.hf: Final = hf
        self.keep: Final = keep
        self._exits: Final = ExitStack()
        self._jobs_run = 0

    def __enter__(self) -> Self:
        with self._exits:
            self._build()
            self._kept_exits = self._exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with INTERRUPTS.held():  # a second Ctrl-C must not stop the cleaning up
            self._kept_exits.close()

    def _build(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keyless-demo-"))
        if not self.keep:
            self._exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.model_folder, self.dataset_folder = self.folder / "job" / "model", self.folder / "job" / "dataset"
        self.hub_folder, self.config = self.folder / "hub", self.folder / "keyless.toml"
        write_model(self.model_folder)
        write_dataset(self.dataset_folder)
        self.issuer = self._exits.enter_context(FakeIssuer())
        self.github = self._exits.enter_context(
            FakeGitHub(
                self.issuer,
                {"repository": REPOSITORY, "repository_id": REPOSITORY_ID, "repository_owner_id": OWNER_ID},
            )
        )
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._write_config()

    def _write_config(self) -> None:
        self.hub_folder.mkdir()
        listen = urlsplit(self.url).netloc
        settings = {
            "public_url": self.url,
            "listen": listen,
            "inside_listen": "127.0.0.1:0",
            "database": str(self.folder / "keyless.db"),
            "hub_directory": str(self.hub_folder),
            "token_profile": "huggingface",
        }
        # A JSON text is a TOML basic string.
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start_service(self) -> None:
        """Start `keyless serve` as a child and wait until it answers; its log is `service.log`.

        Raises:
            DemoError: It did not start.
        """
        with INTERRUPTS.held():
            self.service = Background(
                [*KEYLESS, "serve", "--config", str(self.config)],
                self.environment(),
                self.folder,
                self.folder / "service.log",
            )
            self._kept_exits.callback(self.service.close)
        self.service.wait_until(lambda: self.answers("/healthz"))

    def answers(self, path: str) -> bool:
        """Tell whether the service answers a path with 200."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    # --- child processes ---------------------------------------------------------------------------------------------

    def environment(self, **variables: str) -> dict[str, str]:
        """Return a clean environment with a home of its own, never the caller's."""
        self._jobs_run += 1
        home = self.folder / "homes" / str(self._jobs_run)
        home.mkdir(parents=True)
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**inherited, "HOME": str(home), "NO_COLOR": "1", **variables}

    def step_environment(self, job: GitHubJob | None, resource: str | None, **variables: str) -> dict[str, str]:
        """Return what one step of a CI job sees: the runner's variables, and the resource it wants a token for."""
        environment = self.environment(
            **(job.environ() if job is not None else {}),
            HF_ENDPOINT=self.url,
            HF_HUB_DISABLE_PROGRESS_BARS="1",
            HF_HUB_DISABLE_TELEMETRY="1",
            HF_HUB_DISABLE_UPDATE_CHECK="1",
            **variables,
        )
        environment["HF_HOME"] = str(Path(environment["HOME"]) / "hf")
        if resource is not None:
            environment["HF_OIDC_RESOURCE"] = resource
        return environment

    def run_hf(self, environment: Mapping[str, str], arguments: Sequence[str]) -> Finished:
        """Run the unmodified `hf`, in the folder where the training left its results."""
        return run_child([str(self.hf), *arguments], environment, self.folder / "job")

    def run_keyless(self, environment: Mapping[str, str], arguments: Sequence[str]) -> Finished:
        """Run our own command line."""
        return run_child([*KEYLESS, *arguments], environment, self.folder)

    def administer(self, *arguments: str) -> Finished:
        """Run a `keyless` verb that works on the service's store.

        Raises:
            DemoError: It failed.
        """
        done = self.run_keyless(self.environment(), [*arguments, "--config", str(self.config)])
        if done.status != 0:
            raise DemoError(f"keyless {' '.join(arguments[:2])} ended with {done.status}", hint=done.output)
        return done

    def audit_events(self) -> list[dict[str, Any]]:
        """Return the audit trail as `keyless audit list --json` prints it.

        Read in this process: starting a command a dozen times would be a third of the demo's time.
        """
        with open_store(self.folder / "keyless.db") as store:
            return [asdict(record) for record in store.audit_events(limit=500)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
