"""Run a command beside its token files: start it, pass signals on, wait, clean up."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from keyless.cli.child_environment import child_environment
from keyless.cli.lifetimes import warn_of_fixed, warn_of_id_token, warn_of_short
from keyless.cli.output import note
from keyless.cli.token_files import TokenFiles
from keyless.client.cache import TokenCache
from keyless.client.credential import Credential
from keyless.client.environment import read_endpoint
from keyless.errors import Error
from keyless.http.curl import is_debug, log_debug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType
    from typing import Final

    from keyless.client.exchange import ExchangedToken

NOT_EXECUTABLE: Final = 126  # as shells have it
NOT_FOUND: Final = 127
_MAIN_FILE: Final = "token"
_REVOKE_TOTAL_SECONDS: Final = 5.0  # a job should not wait long for a courtesy
_ENDING: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
_FORWARDED: Final = (*_ENDING, "SIGUSR1", "SIGUSR2")
_FROM_TERMINAL: Final = ("SIGINT", "SIGHUP", "SIGQUIT")
_JOB_CONTROL: Final = ("SIGTSTP", "SIGCONT")  # only for a child in a group of its own; a terminal reaches the others


class Plan:
    """What to run, with which tokens.

    Args:
        command: The command and its arguments.
        resource: What the main token is for, or `None` when there are only named ones.
        named_resources: Resource of each further token by the variable that gets its file's path.
        endpoint: Base URL of the service, or `None` for the environment's.
        exported: A variable to put the main token into, or `None`.
        keeps_ci_identity: Whether the command may mint id tokens itself.
        registry: The kind of package registry that `endpoint` is, or `None` for a hub. `resource` is then its package.
    """

    __slots__ = ("command", "endpoint", "exported", "keeps_ci_identity", "named_resources", "registry", "resource")

    def __init__(
        self,
        *,
        command: Sequence[str],
        resource: str | None,
        named_resources: Mapping[str, str],
        endpoint: str | None = None,
        exported: str | None = None,
        keeps_ci_identity: bool = False,
        registry: str | None = None,
    ) -> None:
        self.command = list(command)
        self.resource = resource
        self.named_resources = dict(named_resources)
        self.endpoint = endpoint
        self.exported = exported
        self.keeps_ci_identity = keeps_ci_identity
        self.registry = registry


class _Stopped(BaseException):
    """A signal came before there was a child to pass it to."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Signals:
    """Pass signals on to the child, whenever it comes into being.

    In a CI job the child leads a process group of its own and the whole group gets the signal, so a shell script's
    children stop too. With a terminal it stays in ours: the terminal's own Ctrl-C and Ctrl-Z reach it there, and a
    shell's `fg` and `bg` move both.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._is_over = False
        self._pending: list[int] = []
        self.own_group: Final = os.name == "posix" and not _has_terminal()

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals that end a process, until the end of the block."""
        before = {}
        for name in (*_FORWARDED, *(_JOB_CONTROL if self.own_group else ())):
            number = getattr(signal, name, None)
            # nohup and some supervisors ignore signals on purpose, and the child inherits that.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def finish(self) -> None:
        """Let no further signal disturb the cleaning up; a runner that cancels a job sends several."""
        self._is_over = True

    def start(
        self, command: Sequence[str], environ: Mapping[str, str], *, inherited: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        """Start the child, with further open files. A signal that arrives meanwhile is delivered as soon as it runs."""
        self._starting = True
        try:
            # 0 makes the child the leader of a group of its own.
            self._child = subprocess.Popen(  # noqa: S603  # running the user's command is what the verb is for
                list(command), env=dict(environ), process_group=0 if self.own_group else None, pass_fds=inherited
            )
        finally:
            self._starting = False
        while self._pending:
            self._pass_on(self._pending.pop(0))
        return self._child

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._child is not None:
            self._pass_on(number)
        elif self._starting:
            self._pending.append(number)
        elif signal.Signals(number).name in _JOB_CONTROL:
            _stop_if_asked(number)
        elif not self._is_over:
            raise _Stopped(number)

    def _pass_on(self, number: int) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        if not self.own_group and signal.Signals(number).name in _FROM_TERMINAL:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.own_group and signal.Signals(number).name in {*_ENDING, *_JOB_CONTROL}:
                os.killpg(child.pid, number)
            else:
                child.send_signal(number)
        _stop_if_asked(number)


def _stop_if_asked(number: int) -> None:
    """Stop this process as SIGTSTP would have without our handler; SIGCONT lets it go on."""
    if signal.Signals(number).name == "SIGTSTP":
        os.kill(os.getpid(), signal.SIGSTOP)


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal, be it in its foreground or its background."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def supervise(plan: Plan) -> int:
    """Run the command of a plan and return its exit code (128+n when signal n ended it).

    Raises:
        OIDCError: A token could not be had; the command was not started.
    """
    endpoint = read_endpoint(os.environ, plan.endpoint)
    program = plan.command[0]
    found = shutil.which(program)
    if found is None:  # before a token is made for nothing
        return _cannot_run(program)
    signals = _Signals()
    try:
        with signals.caught():
            return _run(plan, endpoint, signals)
    except _Stopped as stopped:
        return 128 + stopped.number


def _cannot_run(program: str) -> int:
    is_path = any(separator in program for separator in (os.sep, os.altsep) if separator)
    if is_path and Path(program).exists():
        note(f"keyless: command: {program} cannot be executed")
        return NOT_EXECUTABLE
    note(f"keyless: command: {program} was not found")
    return NOT_FOUND


def _run(plan: Plan, endpoint: str, signals: _Signals) -> int:
    files = TokenFiles()
    # Tokens of its own: they are revoked at the end, and other steps of the job may go on with theirs.
    cache = TokenCache()

    def credential(resource: str) -> Credential:
        return Credential(resource, endpoint, cache=cache, is_shared=False)

    fixed: threading.Timer | None = None
    cleanup = contextlib.ExitStack()
    try:
        tokens = []
        exported = None
        registry: dict[str, str] = {}
        if plan.registry is not None:
            from keyless.cli.registry_environment import registry_environment

            registry, burn = registry_environment(plan.registry, endpoint, plan.resource, str(files.folder))
            cleanup.callback(burn)
        elif plan.resource is not None:
            token = files.add(_MAIN_FILE, credential(plan.resource))
            tokens.append(token)
            if plan.exported is not None:
                exported = (plan.exported, token.access_token.reveal())
                fixed = warn_of_fixed(plan.exported, token)
        elif plan.exported is not None:
            raise _no_main_token(plan.exported)
        named_files = {}
        for name, resource in plan.named_resources.items():
            tokens.append(files.add(f"token-{name}", credential(resource)))
            named_files[name] = files.path(f"token-{name}")
        warn_of_short(tokens)
        if tokens:
            warn_of_id_token(endpoint, tokens)
        environ = child_environment(
            os.environ,
            audience=endpoint,
            token_file=files.path(_MAIN_FILE),
            named_files=named_files,
            endpoint=endpoint if plan.endpoint is not None and plan.registry is None else None,
            exported=exported,
            keeps_ci_identity=plan.keeps_ci_identity,
        )
        environ.update(registry)
        try:
            inherited = () if files.lock is None else (files.lock,)
            child = signals.start(plan.command, environ, inherited=inherited)
        except OSError as error:
            note(f"keyless: command: {plan.command[0]} cannot be executed ({error.strerror})")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        files.start()
        status = child.wait()
        return status if status >= 0 else 128 - status
    finally:
        signals.finish()
        if fixed is not None:
            fixed.cancel()
        _revoke(files.close(), endpoint)
        cleanup.close()


def _no_main_token(name: str) -> Error:
    from keyless.cli.options import UsageError

    return UsageError(f"--env {name} needs a --resource without a name, whose token it is to hold")


def _revoke(tokens: Sequence[ExchangedToken], endpoint: str) -> None:
    """Take the tokens back as far as that goes; a failure is told in debug only, because they end soon anyway."""
    from keyless.client.revocation import can_revoke, revoke_token
    from keyless.http.deadline import Deadline

    if not can_revoke(endpoint):
        return
    deadline = Deadline(_REVOKE_TOTAL_SECONDS)
    for token in tokens:
        try:
            revoke_token(token.access_token, endpoint=endpoint, deadline=deadline)
        except Error as error:
            if is_debug(os.environ):
                log_debug(f"revocation: {error.message}")
