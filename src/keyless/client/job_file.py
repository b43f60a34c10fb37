"""The file in which the processes of one CI job share an access token: its place, its two lines, and when it is good.

The first line is the token, the second says whose it is and when it ends. Reading it needs no more than `os` and
`time`, because a later step of the job should get its token for little more than the start of Python. Only access
tokens are ever in it, never an id token or the means to mint one. Writing is in `job_cache`.
"""

from __future__ import annotations

import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

# Directories that the platform itself empties with the job, by the platform's own marker. GitHub Docs, "Variables
# reference": emptied at the beginning and end of each job; Forgejo and Gitea runners set the same two. Azure DevOps,
# "Use predefined variables": cleaned after each pipeline job. Nothing like it is documented elsewhere.
DIRECTORIES: Final = (
    ("GITHUB_ACTIONS", "RUNNER_TEMP"),
    ("TF_BUILD", "AGENT_TEMPDIRECTORY"),
)
_RUN_VARIABLES: Final = (
    "GITHUB_SERVER_URL",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_JOB",
    "SYSTEM_COLLECTIONURI",
    "SYSTEM_TEAMPROJECTID",
    "BUILD_BUILDID",
    "SYSTEM_JOBID",
    "SYSTEM_JOBATTEMPT",
)
# Where an id token, or the means to mint one, stands in full. What such a variable only points to may change unseen.
_TOKEN_VARIABLES: Final = (
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "HF_OIDC_ID_TOKEN",
    "KEYLESS_AZURE_SERVICE_CONNECTION_ID",
    "KEYLESS_ID_TOKEN",
    "SYSTEM_OIDCREQUESTURI",
    "SYSTEM_ACCESSTOKEN",
)
_OUR_PREFIX: Final = "KEYLESS_"  # all of ours count, because providers add switches; but these say nothing of identity
_OUR_OTHERS: Final = frozenset(
    {
        "KEYLESS_CACHE",
        "KEYLESS_DEBUG",
        "KEYLESS_INSECURE_HTTP_HOSTS",
        "KEYLESS_PRECEDENCE",
        "KEYLESS_TIMEOUT",
    }
)
_POINTER_VARIABLE: Final = "KEYLESS_ID_TOKEN_VAR"
_OFF: Final = frozenset({"0", "off", "no", "false"})
_FORMAT: Final = "keyless-1"
_MAX_BYTES: Final = 32_768
_NAME_CHARS: Final = 16  # of the hash, inside the file: enough to notice a file that was moved to another's name


class JobToken:
    """What a good file holds.

    Args:
        token: The access token.
        expires_in: Seconds of life the service gave it.
        remaining: Seconds left, by the more careful of two clocks.
        margin: Seconds before its end from which a new one should be made.
        request_id: The service's id of the exchange, or `None`.
    """

    __slots__ = ("expires_in", "margin", "remaining", "request_id", "token")

    def __init__(self, token: str, *, expires_in: int, remaining: float, margin: float, request_id: str | None) -> None:
        self.token = token
        self.expires_in = expires_in
        self.remaining = remaining
        self.margin = margin
        self.request_id = request_id

    def __repr__(self) -> str:
        return f"JobToken(token=***, expires_in={self.expires_in}, remaining={self.remaining:.0f})"

    @property
    def is_fresh(self) -> bool:
        """Return whether it need not be replaced yet."""
        return self.remaining > self.margin


def job_directory(environ: Mapping[str, str]) -> str | None:
    """Return the directory that the platform deletes with the job, or `None` where there is none or sharing is off."""
    if os.name != "posix" or environ.get("KEYLESS_CACHE", "").strip().lower() in _OFF:
        return None
    for marker, variable in DIRECTORIES:
        if environ.get(marker, "").lower() == "true":
            directory = environ.get(variable, "")
            return directory if directory.startswith("/") and "\0" not in directory else None
    return None


def token_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that hold an id token or the means to mint one."""
    pointed = environ.get(_POINTER_VARIABLE, "").strip()
    return {name: environ.get(name, "").strip() for name in (*_TOKEN_VARIABLES, pointed) if name}


def _other_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what else may decide which id token is used, and which run this is."""
    ours = [name for name in environ if name.startswith(_OUR_PREFIX) and name not in _OUR_OTHERS]
    return {name: environ.get(name, "") for name in (*_RUN_VARIABLES, *ours)}


def job_file_path(environ: Mapping[str, str], *, endpoint: str, audience: str, resource: str) -> str | None:
    """Return the path of the job's file for one resource, whether or not it exists; `None` where nothing is shared.

    Args:
        environ: The job's variables.
        endpoint: Base URL of the service, without trailing slash.
        audience: The audience of the id token.
        resource: What the token is for.
    """
    directory = job_directory(environ)
    if directory is None:
        return None
    parts = [("uid", str(os.geteuid())), ("endpoint", endpoint), ("audience", audience), ("resource", resource)]
    parts += sorted({**_other_variables(environ), **token_variables(environ)}.items())
    text = "".join(f"{name}={len(value)}:{value}\n" for name, value in parts)
    return f"{directory.rstrip('/')}/keyless-{_sha256(text)}"


def _sha256(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    try:  # what hashlib has inside, without the milliseconds for loading OpenSSL
        digest: str = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256(data).hexdigest()
    except (ImportError, AttributeError):
        from hashlib import sha256

        return sha256(data).hexdigest()
    return digest


def is_ours(status: os.stat_result) -> bool:
    """Return whether an opened file is a plain one of ours alone: nobody else may read, write or have named it."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and status.st_mode & 0o077 == 0
        and status.st_nlink <= 1  # 0: another process has just put a newer one in its place
    )


def read_job_file(path: str) -> JobToken | None:
    """Return the token of a file, or `None` where there is no file, it is not ours, or its time is over."""
    try:
        # Not through a link, and not waiting for a pipe that somebody put there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        if not is_ours(os.fstat(descriptor)):
            return None
        content = os.read(descriptor, _MAX_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return _parse(content, path)


def format_job_file(
    path: str, token: str, *, expires_in: int, remaining: float, margin: float, request_id: str | None
) -> bytes:
    """Return the content of a file; the arguments are those of `JobToken`."""
    if request_id is None or not request_id.isascii() or not request_id.isprintable() or " " in request_id:
        request_id = "-"
    ends = f"{time.time() + remaining:.3f} {_boot_seconds() + remaining:.3f}"
    return f"{token}\n{_FORMAT} {_owner(path)} {ends} {expires_in} {margin:.3f} {request_id}\n".encode("ascii")


def _owner(path: str) -> str:
    return path.rpartition("keyless-")[2][:_NAME_CHARS]


def _parse(content: bytes, path: str) -> JobToken | None:
    try:
        lines = content.decode("ascii").split("\n")
        token, words = lines[0], lines[1].split(" ")
        kind, owner, ends_wall, ends_boot, expires_in, margin, request_id = words
        lifetime = int(expires_in)
        # A clock that was set forward or a machine that slept ends the token early; a clock that was set back, or a
        # start of the machine since, is noticed by the other clock or by a rest longer than the whole life.
        remaining = min(float(ends_wall) - time.time(), float(ends_boot) - _boot_seconds())
        early = float(margin)
    except (ValueError, IndexError):
        return None
    if len(lines) != 3 or kind != _FORMAT or owner != _owner(path):
        return None
    if not token or not token.isprintable() or " " in token or not 0 < remaining <= lifetime + 1:  # also refuses nan
        return None
    return JobToken(
        token,
        expires_in=lifetime,
        remaining=min(remaining, lifetime),
        margin=early,
        request_id=None if request_id == "-" else request_id,
    )


def _boot_seconds() -> float:
    """Return seconds since the machine started, also while it slept: a clock that all processes share."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is not None:
        try:
            return time.clock_gettime(clock)
        except OSError:
            pass
    return time.monotonic()
