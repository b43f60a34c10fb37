"""`keyless serve` as a program: its settings, its two listeners, its end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.testing import FakeIssuer
from tests.support.running import RunningService


def run_serve(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the verb to its end."""
    return subprocess.run(
        [sys.executable, "-m", "keyless", "serve", *arguments],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def write_settings(directory: Path, *lines: str) -> Path:
    """Write a settings file whose listeners take free ports."""
    file = directory / "keyless.toml"
    base = ['public_url = "http://127.0.0.1:9"', 'listen = "127.0.0.1:0"', 'inside_listen = "127.0.0.1:0"']
    names = {line.partition(" ")[0] for line in lines}
    file.write_text("\n".join([*(line for line in base if line.partition(" ")[0] not in names), *lines]) + "\n")
    return file


def test_check_says_that_everything_is_good_and_serves_nothing(tmp_path: Path) -> None:
    """D21, D4: --check makes the store and the first key, and ends."""
    write_settings(tmp_path)
    done = run_serve(tmp_path, "--config", "keyless.toml", "--check")

    assert done.returncode == 0
    assert "good" in done.stderr
    assert (tmp_path / "keyless.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('public_url = "http://hub.example.org"', "public_url"),
        ('public_url = "sigstore"', "public_url"),
        ('listen = "nowhere"', "listen"),
        ("token_ttl_seconds = 7200", "token_ttl_seconds"),
        ("leeway_seconds = 61", "leeway_seconds"),
        ('error_profile = "mine"', "error_profile"),
        ('databse = "x"', "databse"),
        ('database = "missing/keyless.db"', "database"),
        ('hub_directory = "missing"', "hub_directory"),
        ("public_url = ", "keyless.toml"),
    ],
)
def test_wrong_setting_stops_the_start_with_its_name(tmp_path: Path, line: str, named: str) -> None:
    """D19, D7: exit status 2, and the message names what to change."""
    write_settings(tmp_path, line)
    done = run_serve(tmp_path, "--config", "keyless.toml", "--check")

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Settings: KEYLESS_… variables win, and are named when they are wrong."""
    write_settings(tmp_path)
    done = run_serve(tmp_path, "--config", "keyless.toml", "--check", KEYLESS_LEEWAY_SECONDS="99")

    assert done.returncode == 2
    assert "KEYLESS_LEEWAY_SECONDS" in done.stderr


def test_taken_address_stops_the_start_with_its_setting(tmp_path: Path) -> None:
    """Settings: which of the two listeners cannot listen, and where."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        write_settings(tmp_path, f'inside_listen = "{address}"')
        done = run_serve(tmp_path, "--config", "keyless.toml")

    assert done.returncode == 2
    assert "inside_listen" in done.stderr


def test_key_that_was_lost_stops_the_start(tmp_path: Path) -> None:
    """D21: with another key-encryption key nothing is published, and the message says what is missing."""
    write_settings(tmp_path)
    assert run_serve(tmp_path, "--config", "keyless.toml", "--check").returncode == 0
    (tmp_path / "secret.key").unlink()
    done = run_serve(tmp_path, "--config", "keyless.toml", "--check")

    assert done.returncode == 2
    assert "key" in done.stderr


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    """An issuer on loopback."""
    with FakeIssuer() as issuer:
        yield issuer


def test_service_answers_over_http_and_ends_on_sigterm(tmp_path: Path, issuer: FakeIssuer) -> None:
    """S4, D19: a real exchange over real HTTP, kept-alive connections included, and a clean end."""
    service = RunningService(tmp_path, issuer)
    service.start()
    try:
        assert service.exchange()[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        for _ in range(3):
            connection.request("GET", "/oauth/jwks")
            response = connection.getresponse()
            assert response.status == 200
            assert response.read()
        connection.request("HEAD", "/healthz")
        assert connection.getresponse().read() == b""
        connection.close()
    finally:
        status = service.stop()

    assert status == 0
    assert "Traceback" not in (tmp_path / "serve.log").read_text()


def test_public_url_may_have_a_path(tmp_path: Path, issuer: FakeIssuer) -> None:
    """D19: behind a prefix, every path of ours is below it."""
    service = RunningService(tmp_path, issuer, path="/hub")
    service.start()
    try:
        assert service.exchange()[0] == 200
    finally:
        service.stop()


def test_sigint_ends_it_too(tmp_path: Path, issuer: FakeIssuer) -> None:
    """People press Ctrl-C."""
    service = RunningService(tmp_path, issuer)
    service.start()

    assert service.end(signal.SIGINT) == 0
