"""Sealing the audit while the service runs: a checkpoint every few seconds, given out at once (D15).

The file is where checkpoints outlive the database. What an earlier process sealed and could not write down any more is
written first, so the file has no gap.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from keyless.errors import ConfigurationError
from keyless.jose.signing import SigningKey
from keyless.server.audit.sealing import Kept
from keyless.server.audit.statement import Checkpoint
from keyless.server.settings import StoreSettings

FILE_NAME: Final = "checkpoints.jsonl"
WHOLE_EVERY_SECONDS: Final = 24 * 3600  # so that a file that begins anew soon names every writer again
PAGE: Final = 200
_TAIL_BYTES: Final = 64 * 1024

_log = logging.getLogger("keyless.audit")


class SealedAudit(Protocol):
    """What is asked of the store."""

    def seal(self, key: SigningKey, *, whole: bool = False, kept: Kept | None = None) -> Checkpoint | None:
        """Sign what the chains are now; `None` without news."""

    def checkpoints(self, *, after: int, limit: int = 100) -> list[tuple[int, int, str]]:
        """Return checkpoints behind a number."""


def checkpoint_file(settings: StoreSettings) -> Path | None:
    """Return where checkpoints are kept; `None` beside PostgreSQL when no setting names a file."""
    if settings.checkpoint_file is not None:
        return settings.checkpoint_file
    return settings.database.absolute().with_name(FILE_NAME) if isinstance(settings.database, Path) else None


class Sealer:
    """Seal the audit and give the checkpoints out. Used by one thread.

    Args:
        audit: The store's.
        key: Signs.
        file: Checkpoints are appended to it; `None`: only the log has them.
        clock: Unix seconds.
    """

    def __init__(
        self, audit: SealedAudit, key: SigningKey, file: Path | None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._audit = audit
        self._key = key
        self._file = file
        self._clock = clock
        self._whole_at: float | None = None
        self._kept: Kept | None = None

    def seal(self) -> Checkpoint | None:
        """Make a checkpoint when there is news; write down whatever is not in the file yet."""
        if self._kept is None and self._file is not None:
            self._kept = last_kept(self._file)
        if self._kept is not None and not self._audit.checkpoints(after=self._kept[0] - 1, limit=1):
            _log.error("the database has lost checkpoints that %s holds: see keyless audit verify", self._file)
        whole = self._whole_at is None or self._clock() - self._whole_at >= WHOLE_EVERY_SECONDS
        checkpoint = self._audit.seal(self._key, whole=whole, kept=self._kept)
        if checkpoint is not None:
            if whole:
                self._whole_at = self._clock()
            _log.info("checkpoint %d seals %d writers key=%s", checkpoint.number, len(checkpoint.heads), self._key.kid)
        self._write_down()
        return checkpoint

    def _write_down(self) -> None:
        if self._file is None:
            return
        while page := self._audit.checkpoints(after=0 if self._kept is None else self._kept[0], limit=PAGE):
            append(self._file, page)
            self._kept = (page[-1][0], page[-1][2])


def append(path: Path, checkpoints: list[tuple[int, int, str]]) -> None:
    """Append checkpoints to a file, one JSON object a line, and wait until they are on the disk."""
    lines = "".join(
        json.dumps({"number": number, "at": at, "statement": statement}) + "\n" for number, at, statement in checkpoints
    )
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        with os.fdopen(handle, "ab") as file:
            if file.tell() and not _ends_with_newline(path):
                file.write(b"\n")  # a line that a power cut left unfinished
            file.write(lines.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        _log.error("checkpoints cannot be written to %s: %s", path, error.strerror)
        raise


def last_kept(path: Path) -> Kept | None:
    """Return number and statement of the last whole checkpoint in a file, or `None`."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            window = _TAIL_BYTES
            while True:
                file.seek(max(0, size - window))
                for line in reversed(file.read().split(b"\n")):
                    if (found := _read_line(line)) is not None:
                        return found
                if window >= size:
                    return None
                window *= 16
    except FileNotFoundError:
        return None


def read_file(path: Path) -> Iterator[tuple[str, str]]:
    """Return the checkpoints of a file: where each stands, and its statement.

    What is no checkpoint is left out: a line may be torn by a power cut, and a checkpoint that is missing is missed by
    the next one.

    Raises:
        ConfigurationError: The file cannot be read, or there is none in it.
    """
    count = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if (found := _read_line(line)) is not None:
                    count += 1
                    yield f"{path.name}, line {number}", found[1]
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if not count:
        raise ConfigurationError(f"there is no checkpoint in {path}")


def _read_line(line: bytes) -> Kept | None:
    try:
        entry = json.loads(line)
        number, statement = entry["number"], entry["statement"]
    except (ValueError, KeyError, TypeError):
        return None
    return (number, statement) if isinstance(number, int) and isinstance(statement, str) else None


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
