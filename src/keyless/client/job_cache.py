"""One exchange for all processes of a CI job: one of them makes the token, the others wait for its file.

The lock is the kernel's, so a process that is killed in the middle of an exchange holds nobody up: the next one takes
over. Whatever is wrong with the directory - no space, no permission, something planted there - a token is still made,
only not shared. Nothing is printed about it, because the job loses nothing but time.
"""

from __future__ import annotations

import os
import time

from keyless.client.exchange import ExchangedToken
from keyless.client.job_file import (
    format_job_file,
    is_ours,
    job_directory,
    job_file_path,
    read_job_file,
    token_variables,
)
from keyless.errors import ExchangeUnavailableError, MintUnavailableError
from keyless.http.fork import import_lock, reset_in_child
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from keyless.client.job_file import JobToken
    from keyless.http.deadline import Deadline
    from keyless.providers.base import CanMint

_FIRST_PAUSE_SECONDS: Final = 0.002
_LONGEST_PAUSE_SECONDS: Final = 0.04  # 64 processes that ask 25 times a second cost 5 % of a core
_STEP_NS: Final = 2_000_000_000  # what every file system can tell apart

# A forked child has the parent's open locks, and would hold them beyond the parent's death.
_held: set[int] = set()


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


reset_in_child(_let_go)


def open_job_cache(
    environ: Mapping[str, str], *, endpoint: str, audience: str, resource: str, found: CanMint
) -> JobCache | None:
    """Return the shared file of this job for one resource, or `None` where nothing can be shared.

    Args:
        environ: The job's variables.
        endpoint: Base URL of the service.
        audience: The audience of the id token.
        resource: What the token is for.
        found: The job's way to an id token. All of it must be in the variables that name the file: what comes from a
            file, a program or a metadata server may change unseen, and is not shared.
    """
    if job_directory(environ) is None:
        return None
    known = set(token_variables(environ).values())
    lines = found.identity.reveal().split()
    if not lines or not known.issuperset(lines):
        return None
    path = job_file_path(environ, endpoint=endpoint, audience=audience, resource=resource)
    return None if path is None else JobCache(path)


class JobCache:
    """The shared file of one key.

    Args:
        path: Where it is; a lock file is kept beside it.
    """

    def __init__(self, path: str) -> None:
        self.path: Final = path

    def get(
        self, *, make: Callable[[bool], ExchangedToken], margin: Callable[[float], float], deadline: Deadline
    ) -> ExchangedToken:
        """Return the job's token, making it if no process has.

        Args:
            make: Does mint and exchange; called by one process at a time. Its argument says whether to be patient:
                False while there is a token that is still good.
            margin: How many seconds before the end of a lifetime a token is to be replaced.
            deadline: How long to wait for another process that is already at it.

        Raises:
            OIDCError: The token could not be made; what `make` raised.
        """
        token = self._fresh()
        if token is not None:
            return token
        lock = _Lock(f"{self.path}.lock")
        try:
            return self._get(lock, make, margin, deadline)
        finally:
            lock.close()

    def _get(
        self,
        lock: _Lock,
        make: Callable[[bool], ExchangedToken],
        margin: Callable[[float], float],
        deadline: Deadline,
    ) -> ExchangedToken:
        pause = _FIRST_PAUSE_SECONDS
        while lock.is_usable and not lock.acquire():
            if lock.was_given_up:
                break  # the one we waited for has failed; 64 processes should not fail one after the other
            left = deadline.remaining()
            if left <= 0:
                raise ExchangeUnavailableError(
                    f"another process of this job is getting the same token and did not finish within "
                    f"{deadline.seconds:g} s",
                    hint="Run the step again, or set KEYLESS_CACHE=off so that each process gets a token of its own.",
                )
            time.sleep(min(pause * (0.5 + os.urandom(1)[0] / 512), left))
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            token = self._fresh()
            if token is not None:
                return token
        token = self._fresh()  # made while we waited for the lock
        if token is not None:
            return token
        kept = False
        try:
            token = self._make(make)
            kept = self._write(token, margin(token.expires_in))
        finally:
            if not kept:
                lock.give_up()
        return token

    def _make(self, make: Callable[[bool], ExchangedToken]) -> ExchangedToken:
        try:
            return make(read_job_file(self.path) is None)
        except (ExchangeUnavailableError, MintUnavailableError):
            old = read_job_file(self.path)
            if old is None:
                raise
            return _as_exchanged(old)  # an outage before the end is not the job's problem yet

    def _fresh(self) -> ExchangedToken | None:
        found = read_job_file(self.path)
        return _as_exchanged(found) if found is not None and found.is_fresh else None

    def _write(self, token: ExchangedToken, margin_seconds: float) -> bool:
        """Put the token into the file, whole or not at all; say whether that worked."""
        content = format_job_file(
            self.path,
            token.access_token.reveal(),
            expires_in=token.expires_in,
            remaining=token.expires_at - time.monotonic(),
            margin=margin_seconds,
            request_id=token.request_id,
        )
        temporary = f"{self.path}.{os.urandom(8).hex()}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600)
        except OSError:
            return False
        try:
            try:
                written = os.write(descriptor, content)
            finally:
                os.close(descriptor)
            if written == len(content):  # less on a disk that is just full
                os.replace(temporary, self.path)  # noqa: PTH105  # pathlib costs the cold path 3 ms
                return True
        except OSError:
            pass
        _remove(temporary)
        return False

    def forget(self, access_token: str) -> None:
        """Remove the file if it holds this token, so that the next process makes a new one."""
        found = read_job_file(self.path)
        if found is not None and found.token == access_token:
            _remove(self.path)


def forget_everywhere(access_token: str, *, environ: Mapping[str, str]) -> None:
    """Remove whichever of the job's files holds a token that is no longer good."""
    directory = job_directory(environ)
    if directory is None:
        return
    try:
        names = os.listdir(directory)  # noqa: PTH208  # as above
    except OSError:
        return
    for name in names:
        if name.startswith("keyless-") and "." not in name:
            JobCache(f"{directory.rstrip('/')}/{name}").forget(access_token)


def _as_exchanged(found: JobToken) -> ExchangedToken:
    return ExchangedToken(
        Secret(found.token),
        expires_in=found.expires_in,
        expires_at=time.monotonic() + found.remaining,
        request_id=found.request_id,
    )


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108  # as above
    except OSError:
        return


class _Lock:
    """A file whose lock the kernel lets go when the process ends; its time of change tells that a holder failed."""

    def __init__(self, path: str) -> None:
        self._descriptor: int | None = None
        with import_lock:
            try:
                import fcntl
            except ImportError:  # Windows
                return
        self._lock = fcntl.flock
        self._exclusive = fcntl.LOCK_EX | fcntl.LOCK_NB
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
        except OSError:
            return
        status = os.fstat(descriptor)
        if not is_ours(status):
            os.close(descriptor)
            return
        _held.add(descriptor)
        self._descriptor = descriptor
        self._changed_ns = status.st_mtime_ns

    @property
    def is_usable(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lock if nobody has it. Where locks do not work there is nothing to wait for."""
        assert self._descriptor is not None  # noqa: S101  # for the type checker; the caller asked `is_usable`
        try:
            self._lock(self._descriptor, self._exclusive)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
        return True

    @property
    def was_given_up(self) -> bool:
        return self._descriptor is not None and os.fstat(self._descriptor).st_mtime_ns != self._changed_ns

    def give_up(self) -> None:
        """Tell those who wait that there will be no token. A time of change can be set on a full disk too."""
        if self._descriptor is not None:
            try:
                changed_ns = os.fstat(self._descriptor).st_mtime_ns + _STEP_NS
                os.utime(self._descriptor, ns=(changed_ns, changed_ns))
            except OSError:
                pass

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _held.discard(descriptor)
            os.close(descriptor)
