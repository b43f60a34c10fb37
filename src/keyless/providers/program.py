"""Run a platform's own program, or one the user named, and take what it prints. Bounded in time and size.

There is no shell. What the program printed is a credential or may hold one, so it never reaches a message: errors tell
the exit status, and hints tell what to do.
"""

from __future__ import annotations

import os

from keyless.errors import MintError, MintUnavailableError
from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from typing import IO, Final

    from keyless.http.deadline import Deadline

MAX_OUTPUT_BYTES: Final = 65_536  # a token has 1-3 kB, SPIRE's JSON with its bundles some ten
_KEPT_ERROR_BYTES: Final = 8_192  # searched for a known phrase, never shown
_POLL_SECONDS: Final = 0.05
_LINGER_SECONDS: Final = 0.5  # after its end a program's output may still be in the pipe, held open by a child of it


class Finished:
    """A program that ended by itself.

    Args:
        status: Exit status; negative for a signal.
        output: What it wrote on standard output. May be a credential.
        complaint: The first kilobytes of its standard error, to look for known phrases. Not to be shown.
    """

    __slots__ = ("complaint", "output", "status")

    def __init__(self, status: int, output: bytes, complaint: str) -> None:
        self.status = status
        self.output = output
        self.complaint = complaint

    def __repr__(self) -> str:
        return f"Finished(status={self.status}, output=<{len(self.output)} bytes>)"


def run_program(
    words: Sequence[str],
    *,
    source: str,
    environ: Mapping[str, str],
    deadline: Deadline,
    missing_hint: str,
    late_hint: str | None = None,
) -> Finished:
    """Run a program without a shell and wait for it.

    Args:
        words: The program, looked up in `PATH`, and its arguments.
        source: What it is, for messages.
        environ: Its environment.
        deadline: After it the program and everything it started in its process group is killed.
        missing_hint: What to do when there is no such program.
        late_hint: What to do when it does not end in time.

    Raises:
        MintError: It cannot be started, or it printed too much.
        MintUnavailableError: It did not end in time.
    """
    with import_lock:
        import shutil
        import subprocess
    try:
        path = shutil.which(words[0], path=environ.get("PATH", os.defpath))
    except ValueError:  # a null character
        path = None
    if path is None:
        raise MintError(f"{source} is not installed, or not on the PATH of this job", hint=missing_hint)
    try:
        process = subprocess.Popen(  # noqa: S603  # no shell; the words come from us or from the job's own variables
            [path, *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,  # its own group, so that what it starts can be stopped too
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name or environment holds a null character"
        raise MintError(f"{source} cannot be started ({reason})", hint=missing_hint) from None
    try:
        return _collect(process, source, deadline, late_hint)
    except BaseException:
        _kill(process)
        raise


def _collect(process: subprocess.Popen[bytes], source: str, deadline: Deadline, late_hint: str | None) -> Finished:
    with import_lock:
        import threading
        from subprocess import TimeoutExpired

    output, complaint = bytearray(), bytearray()
    assert process.stdout is not None  # noqa: S101  # for the type checker: both are pipes
    assert process.stderr is not None  # noqa: S101
    jobs = ((process.stdout, output, MAX_OUTPUT_BYTES, False), (process.stderr, complaint, _KEPT_ERROR_BYTES, True))
    readers = [threading.Thread(target=_drain, args=job, name="keyless-program", daemon=True) for job in jobs]
    for reader in readers:
        reader.start()
    while readers[0].is_alive():
        readers[0].join(min(_POLL_SECONDS, deadline.remaining()))
        if readers[0].is_alive() and process.poll() is not None:
            readers[0].join(_LINGER_SECONDS)
            break
        if deadline.remaining() <= 0:
            break
    if len(output) > MAX_OUTPUT_BYTES:
        raise MintError(f"{source} printed more than {MAX_OUTPUT_BYTES} bytes; an id token is much shorter")
    try:
        status = process.wait(max(0.001, deadline.remaining()))
    except TimeoutExpired:
        raise MintUnavailableError(
            f"{source} did not end within {deadline.seconds:.3g} s and was stopped", hint=late_hint
        ) from None
    readers[1].join(_LINGER_SECONDS)
    return Finished(status, bytes(output), bytes(complaint).decode("utf-8", "replace"))


def _drain(stream: IO[bytes], into: bytearray, limit: int, goes_on: bool) -> None:
    """Read to the end; beyond the limit stop, or go on and forget, so that a chatty program is not blocked."""
    try:
        with stream:
            while chunk := os.read(stream.fileno(), 65_536):
                if len(into) <= limit:
                    into += chunk
                if len(into) > limit and not goes_on:
                    return
    except (OSError, ValueError):
        return


def _kill(process: subprocess.Popen[bytes]) -> None:
    with import_lock:
        import contextlib

    with contextlib.suppress(OSError):  # it may have ended meanwhile
        if hasattr(os, "killpg"):
            os.killpg(process.pid, 9)
        else:
            process.kill()
    process.wait()


def read_printed_token(finished: Finished, *, source: str, hint: str) -> str:
    """Return the token that a program printed on its one line.

    Raises:
        MintError: It printed something else.
    """
    text = finished.output.decode("ascii", "replace").strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        what = "nothing" if not finished.output.strip() else "something that is not one token"
        raise MintError(f"{source} ended well but printed {what}", hint=hint)
    return text
