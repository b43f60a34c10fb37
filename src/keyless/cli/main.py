"""Find the verb and run it. Only the module of that verb is loaded; `keyless token` loads no server."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

VERBS: Final[Mapping[str, tuple[str, str]]] = {
    "token": ("keyless.cli.token", "print a short-lived access token for one resource"),
    "exec": ("keyless.cli.exec", "run a command that finds a fresh token by itself"),
    "id-token": ("keyless.cli.id_token", "print the CI job's own id token"),
    "revoke": ("keyless.cli.revoke", "give an access token back before it ends"),
    "git-credential": ("keyless.cli.git_credential", "be git's credential helper for one service"),
    "providers": ("keyless.cli.providers", "show the CI platforms, and what this job can do"),
    "doctor": ("keyless.cli.doctor", "check everything a token depends on, and say what to change"),
    "setup": ("keyless.cli.setup", "write the CI file that publishes without a secret, and name its publisher"),
    "probe": ("keyless.cli.probe", "see that a service grants what it must and refuses what it must not"),
    "completion": ("keyless.cli.completion", "print a completion script for bash, zsh or fish"),
    "serve": ("keyless.server.cli.serve", "run the token service"),
    "trust": ("keyless.server.cli.trust", "say which CI jobs may publish to what"),
    "audit": ("keyless.server.cli.audit", "read the record of exchanges"),
    "keys": ("keyless.server.cli.keys", "list and rotate the service's signing keys"),
    "db": ("keyless.server.cli.db", "upgrade, check, back up, restore and move the database"),
    "admin": ("keyless.server.cli.admin", "say who may manage trust, and sign in"),
    "demo": ("keyless.demo.cli", "watch the whole way of a token on this machine"),
}

_BRIEF: Final = (["token"], ["id-token"])  # one answer, and no thread whose work could be cut off

_EXIT_CODES: Final = """\
Exit codes: 0 done, 1 other failure, 2 usage or configuration, 3 no CI platform or no permission to mint,
4 the service refused, 5 an outage (worth another try), 130 interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: Words after the program's name; `sys.argv` by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    is_brief = argv is None and words[:1] in _BRIEF
    if is_brief:
        import gc

        gc.disable()  # it would look through what is being imported, again and again, and find nothing
    try:
        code = _dispatch(words)
        if argv is None and (is_brief or "threading" not in sys.modules):
            # There is nothing to tidy up, and taking the interpreter apart would be a tenth of such a process's time.
            sys.stdout.flush()
            os._exit(code)
        return code
    except BrokenPipeError:
        _silence_stdout()
        return 141  # 128 + SIGPIPE, what a command that does not handle it ends with
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  # the last line of defence: a bug is no reason to show a token
        return _failed(error)


def _failed(error: Exception) -> int:
    from keyless.errors import Error

    if not isinstance(error, Error):
        return _internal(error)
    from keyless.cli.output import report

    code = report(error)
    _traceback_if_wanted()
    return code


def _dispatch(words: list[str]) -> int:
    verb = words[0] if words else "help"
    if verb in VERBS:
        name = VERBS[verb][0]
        try:
            __import__(name)  # the package importlib costs a job more than this line
            code: int = sys.modules[name].run(words[1:])
        except ModuleNotFoundError as error:  # some verbs load the service's packages only when they run
            return _missing(verb, error)
        return code
    from keyless.cli.output import data

    if verb in {"--version", "-V", "version"}:
        from keyless import __version__

        data(f"keyless {__version__}")
        return 0
    if verb in {"help", "--help", "-h"}:
        if len(words) > 1 and words[1] in VERBS:
            return _dispatch([words[1], "--help"])
        data(_help())
        return 0
    from difflib import get_close_matches

    from keyless.cli.options import UsageError

    close = get_close_matches(verb, VERBS, n=1)
    raise UsageError(
        f"{verb[:40]!r} is not a verb of keyless",
        hint=f"Did you mean: keyless {close[0]}?" if close else "See: keyless help",
    )


def _help() -> str:
    width = max(len(verb) for verb in VERBS)
    verbs = "\n".join(f"  {verb:<{width}}  {summary}" for verb, (_, summary) in VERBS.items())
    return (
        "keyless: CI jobs get short-lived tokens by OIDC instead of stored secrets\n\n"
        f"usage: keyless VERB [options]\n\n{verbs}\n\n"
        "keyless VERB --help explains one verb; keyless --version names this version.\n"
        f"{_EXIT_CODES}"
    )


def _missing(verb: str, error: ModuleNotFoundError) -> int:
    """Say which extra to install when a server verb runs in a client-only installation."""
    from keyless.cli.options import UsageError
    from keyless.cli.output import report

    name = error.name or ""
    if not name or name.startswith("keyless"):
        raise error
    return report(
        UsageError(
            f"keyless {verb} needs the package {name}, which is not installed",
            hint="Install the service's parts: pip install 'keyless[server]'",
        )
    )


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit does not complain."""
    from contextlib import suppress

    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _traceback_if_wanted() -> None:
    if os.environ.get("KEYLESS_DEBUG", "").strip().lower() == "traceback":
        import traceback

        from keyless.cli.output import note
        from keyless.http.redact import redact_text

        note(redact_text(traceback.format_exc()))


def _internal(error: Exception) -> int:
    from keyless.cli.output import note

    note(f"keyless: internal: {type(error).__name__} that should not have happened")
    note("  Set KEYLESS_DEBUG=traceback to see where, and report it with the traceback.")
    _traceback_if_wanted()
    return 1
