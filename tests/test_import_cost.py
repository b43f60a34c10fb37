"""What a job pays for is loaded when it is used, and never anything foreign (D1, D2, D18)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import keyless
from tests.support.job import Job, run_cli

CLIENT_MODULES = [
    "keyless",
    "keyless.__main__",
    "keyless.cli.completion",
    "keyless.cli.exec",
    "keyless.cli.git_credential",
    "keyless.cli.id_token",
    "keyless.cli.main",
    "keyless.cli.providers",
    "keyless.cli.revoke",
    "keyless.cli.supervisor",
    "keyless.cli.token",
    "keyless.client.credential",
    "keyless.client.attempts",
    "keyless.client.job_cache",
    "keyless.client.job_file",
    "keyless.client.oidc",
    "keyless.client.revocation",
    "keyless.client.sources",
    "keyless.http.curl",
    "keyless.http.grpc",
    "keyless.http.redact",
    "keyless.http.transport",
    "keyless.providers.detect",
    "keyless.providers.spiffe",
    "keyless.resource",
]
LIST_MODULES = "import sys, json; print(json.dumps(sorted(sys.modules)))"


def modules_after(program: str) -> set[str]:
    """Return the modules loaded by a program in a process of its own, without site-packages' start-up files."""
    result = run_cli(
        environ={"PYTHONPATH": ":".join(sys.path)}, program=("-S", "-W", "error", "-c", f"{program}\n{LIST_MODULES}")
    )
    assert result.returncode == 0, result.stderr
    loaded: list[str] = json.loads(result.stdout)
    return set(loaded)


def foreign(modules: set[str]) -> list[str]:
    """Return what is neither ours nor the standard library's."""
    known = {*sys.stdlib_module_names, "keyless", "__main__", "__mp_main__"}
    return sorted(name for name in modules if name.partition(".")[0] not in known and not name.startswith("_"))


def test_import_keyless_is_cheap() -> None:
    """The public names cost nothing until they are used (PEP 562)."""
    loaded = modules_after("import keyless")
    heavy = {"ssl", "http.client", "json", "re", "typing", "threading", "logging", "dataclasses", "argparse", "asyncio"}

    assert sorted(loaded & heavy) == ["json", "re"]  # the listing itself needs json, which needs re
    assert {name for name in loaded if name.startswith("keyless.")} <= {"keyless.http", "keyless.http.fork"}


def test_a_stored_token_needs_no_network_modules() -> None:
    """Who has HF_TOKEN does not pay for TLS."""
    loaded = modules_after("import os, keyless; os.environ['HF_TOKEN'] = 'x'; assert keyless.get_token() == 'x'")

    assert loaded.isdisjoint({"ssl", "http.client", "socket", "logging", "dataclasses", "argparse"})


@pytest.mark.parametrize("name", CLIENT_MODULES)
def test_the_client_is_standard_library_only(name: str) -> None:
    """D1: nothing foreign in a job that holds an id token."""
    assert foreign(modules_after(f"import {name}")) == []


def test_a_token_costs_no_heavy_import() -> None:
    """D18: the cold path of `keyless token` loads http.client and ssl, and nothing it can do without."""
    with Job() as job:
        program = (
            "import sys, json, io; from keyless.cli.main import main; sys.stdout = io.StringIO();"
            "assert main(['token']) == 0; sys.stdout = sys.__stdout__"
        )
        result = run_cli(
            environ={**job.github(), "PYTHONPATH": ":".join(sys.path)},
            program=("-S", "-c", f"{program}\n{LIST_MODULES}"),
        )
    loaded = set(json.loads(result.stdout))

    assert {"ssl", "http.client"} <= loaded
    assert foreign(loaded) == []
    assert sorted(
        loaded
        & {
            "argparse", "asyncio", "concurrent", "dataclasses", "encodings.idna", "inspect", "logging",
            "pathlib", "subprocess", "tempfile", "traceback", "urllib.request", "keyless.http.redact",
            "keyless.resource", "keyless.server", "keyless.http.guarded",
        }
    ) == []  # fmt: skip


def test_a_token_that_is_there_costs_next_to_nothing(tmp_path: Path) -> None:
    """C4: a later step of a job reads one file; not even an error class is loaded for it."""
    with Job() as job:
        program = (
            "import sys, io, os; before = set(sys.modules);"
            "from keyless.cli.main import main; sys.stdout = io.StringIO();"
            "assert main(['token']) == 0; out = sys.stdout.getvalue(); sys.stdout = sys.__stdout__;"
            "assert out.startswith('kl_access'); print(*sorted(set(sys.modules) - before))"
        )
        environ = {**job.github(RUNNER_TEMP=str(tmp_path)), "PYTHONPATH": ":".join(sys.path)}
        run_cli("token", environ=environ)
        result = run_cli(environ=environ, program=("-S", "-c", program))
        exchanges = job.exchanges
    loaded = set(result.stdout.split())

    assert exchanges == 1
    assert {name for name in loaded if name.startswith("keyless")} == {
        "keyless", "keyless.cli", "keyless.cli.main", "keyless.cli.token", "keyless.client",
        "keyless.client.environment", "keyless.client.job_file", "keyless.http", "keyless.http.fork",
    }  # fmt: skip
    assert {name for name in loaded if not name.startswith("keyless")} <= {"__future__", "_sha256", "_sha2"}


NO_POSIX = """
import os, sys
for name in ("fcntl", "pwd", "grp", "termios", "tty", "resource"):
    sys.modules[name] = None
for name in ("register_at_fork", "fork", "killpg", "getpgrp", "tcgetpgrp", "O_NOCTTY"):
    if hasattr(os, name):
        delattr(os, name)
import signal
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"):
    if hasattr(signal, name):
        delattr(signal, name)
"""


@pytest.mark.parametrize("name", CLIENT_MODULES)
def test_the_client_imports_where_posix_is_not(name: str) -> None:
    """D2: no fcntl, no fork hooks, no job control at import (Windows)."""
    modules_after(f"{NO_POSIX}\nimport {name}")


def test_a_token_can_be_had_where_posix_is_not() -> None:
    """D2: not only imported, used."""
    with Job() as job:
        program = f"{NO_POSIX}\nimport keyless; print(keyless.get_token())"
        result = run_cli(environ={**job.github(), "PYTHONPATH": ":".join(sys.path)}, program=("-S", "-c", program))

    assert result.stdout == f"{job.access_token()}\n", result.stderr


def test_every_public_name_is_there() -> None:
    """What `__all__` promises loads, and nothing else pretends to exist."""
    assert [name for name in keyless.__all__ if getattr(keyless, name, None) is None] == []
    assert sorted(keyless.__all__) == dir(keyless)
    with pytest.raises(AttributeError):
        _ = keyless.no_such_name
