"""A policy that is mounted beside the service: read at the start and on SIGHUP (D13).

What is wrong with it changes nothing: the store stays as it was, and the log, the audit and `/readyz` say so.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from keyless.errors import ConfigurationError, Error
from keyless.server.audit.event import EventKind
from keyless.server.policy.document import read_policy
from keyless.server.policy.plan import Plan
from keyless.server.policy.service import PolicyService
from keyless.server.store.admin import Administration

ACTOR = "policy"
SUFFIXES = (".toml", ".json")

_log = logging.getLogger("keyless.server")


class PolicyDirectory:
    """Apply the files of a directory, all of them together.

    Args:
        path: The directory; files whose names begin with a dot, and directories in it, are not looked at.
        administration: The service's own.
        prune: Remove publishers that are within the policy's reach and not in it.
    """

    def __init__(self, path: Path, administration: Administration, *, prune: bool) -> None:
        self._path = path
        self._administration = administration
        self._prune = prune
        self._lock = threading.Lock()

    def load(self) -> str | None:
        """Read and apply the files; return what is wrong, or `None`. Never raises for what an operator can mend."""
        with self._lock:
            view = self._administration.acting_as(ACTOR)
            try:
                plan = PolicyService(view).apply(read_policy(self._files()), prune=self._prune)
            except Error as error:
                _log.error("policy_directory %s is not applied, the trust of before stays: %s", self._path, error)
                self._record(str(error))
                return str(error)
            _tell(self._path, plan)
            return None

    def _files(self) -> list[Path]:
        try:
            found = sorted(
                file
                for file in self._path.iterdir()
                if file.suffix in SUFFIXES and not file.name.startswith(".") and file.is_file()
            )
        except OSError as error:
            raise ConfigurationError(f"policy_directory {self._path} cannot be read: {error.strerror}") from None
        if not found:
            # An empty mount is far more often a mistake than the wish to have no policy at all.
            raise ConfigurationError(f"policy_directory {self._path} has no file that ends in .toml or .json")
        return found

    def _record(self, problem: str) -> None:
        try:
            with self._administration.acting_as(ACTOR).together() as change:
                change.note(EventKind.POLICY_REFUSED, detail=problem[:1000])
        except Error as error:
            _log.warning("the refused policy could not be recorded: %s", error)


def _tell(path: Path, plan: Plan) -> None:
    for change in plan.changes:
        what = change.resource or change.issuer
        _log.info("policy_directory %s: %s %s %s", path, change.action, what, change.publisher or "")
