"""Token files in a private folder: written whole or not at all, refreshed by a thread, removed at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from pathlib import Path

from keyless.cli.output import mask, note
from keyless.client.job_file import DIRECTORIES
from keyless.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from keyless.client.credential import Credential
    from keyless.client.exchange import ExchangedToken

_PREFIX: Final = "keyless-exec-"
_LOCK: Final = ".in-use"
CLOSE_SECONDS: Final = 3.0  # for an exchange under way at the end: what it gives is to be revoked as well
RETRY_SECONDS: Final = 10.0  # between attempts while a refresh fails
_LONGEST_WAIT_SECONDS: Final = 3600.0


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let a thread that starts in the block never be given a signal.

    The main thread waits for the command and must be woken by each. While it is still busy with one signal, the kernel
    gives the next to any other thread that takes it, and it would lie there until the command ends by itself.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows, which has no such signals either
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lock(path: Path, flags: int) -> int | None:
    """Open and lock a file; `None` where another process has the lock, or where there are no locks or no file."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(parent: Path) -> None:
    """Remove what a `keyless exec` left behind that was killed, together with its command.

    The lock tells: the kernel lets it go with the last process that has it, in whatever container that runs.
    """
    with contextlib.suppress(OSError):
        for folder in parent.glob(f"{_PREFIX}*"):
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != getattr(os, "geteuid", lambda: -1)():
                continue
            descriptor = _lock(folder / _LOCK, 0)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


class TokenFiles:
    """Keep one file per credential holding a token that is good.

    Args:
        monotonic: Clock in seconds, the one of `ExchangedToken.expires_at`.

    Attributes:
        folder: Where the files are.
        lock: An open file that says so, to be inherited by the command: while either lives, nobody sweeps the folder.
            `None` where there are no locks.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # What the platform empties after the job, whatever happens to us. mkdtemp makes the folder 0700.
        bases = [os.environ.get(variable, "") for _, variable in DIRECTORIES]
        parent = next((base for base in bases if base and Path(base).is_dir()), tempfile.gettempdir())
        _sweep(Path(parent))
        self.folder: Final = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self.lock: Final = _lock(self.folder / _LOCK, os.O_CREAT | os.O_EXCL)
        self._kept: list[tuple[str, Credential, ExchangedToken]] = []
        self._issued: list[ExchangedToken] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def path(self, name: str) -> str:
        """Return the path of a token's file."""
        return str(self.folder / name)

    def add(self, name: str, credential: Credential) -> ExchangedToken:
        """Get a token, write its file and keep it fresh from `start` on.

        Raises:
            OIDCError: No token could be had.
        """
        exchanged = credential.exchanged()
        self._issued.append(exchanged)
        self._write(name, exchanged)
        self._kept.append((name, credential, exchanged))
        return exchanged

    def start(self) -> None:
        """Begin to refresh."""
        self._thread = threading.Thread(target=self._refresh, name="keyless-refresh", daemon=True)
        with _signals_blocked():
            self._thread.start()

    def close(self) -> list[ExchangedToken]:
        """Stop refreshing, remove the folder, and return the tokens that are still good, for revocation."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)  # it may be in an exchange; it writes nothing once `_stop` is set
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.lock is not None:
            os.close(self.lock)
        return [token for token in self._issued if self._monotonic() < token.expires_at]

    def _write(self, name: str, exchanged: ExchangedToken) -> None:
        token = exchanged.access_token.reveal()
        mask(token)
        temporary = self.folder / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token)
        temporary.replace(self.folder / name)  # a reader sees the old token or the new one, never half of one

    def _refresh(self) -> None:
        warned = False
        while True:
            waits = [credential.refresh_in() for _, credential, _ in self._kept]
            wait = min((seconds for seconds in waits if seconds is not None), default=_LONGEST_WAIT_SECONDS)
            if self._stop.wait(min(max(wait, 0.05), _LONGEST_WAIT_SECONDS)):
                return
            try:
                self._refresh_once()
                warned = False
            except (Error, OSError) as error:
                if not warned:
                    message = error.message if isinstance(error, Error) else type(error).__name__
                    note(f"keyless: the token could not be refreshed and is tried again: {message}")
                    warned = True
                if self._stop.wait(RETRY_SECONDS):
                    return

    def _refresh_once(self) -> None:
        for position, (name, credential, known) in enumerate(self._kept):
            exchanged = credential.exchanged()
            if exchanged is known:
                continue
            self._issued.append(exchanged)  # before anything else: `close` may be waiting for it
            if self._stop.is_set():
                return
            with contextlib.suppress(FileNotFoundError):  # `close` has just removed the folder
                self._write(name, exchanged)
            self._kept[position] = (name, credential, exchanged)
