"""`keyless probe` against a running service: what must work and what must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from keyless.testing import FakeIssuer
from tests.support.running import RunningService


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    directory: Path = tmp_path_factory.mktemp("probe")
    with FakeIssuer() as issuer:
        service = RunningService(directory, issuer)
        service.start()
        yield service
        service.stop()


def probe(url: str, id_token: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the verb with an id token handed over."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "keyless", "probe", *words],
        env={**environment, "HF_ENDPOINT": url, "HF_OIDC_ID_TOKEN": id_token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_good_service_grants_one_and_refuses_the_other(running: RunningService) -> None:
    """Build 5: both are looked at, and no token is printed."""
    done = probe(running.url, running.mint(), "--resource", "acme/model", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert said["forged"] == "token_rejected"
    assert "kl_" not in done.stdout + done.stderr


def test_a_service_that_refuses_the_good_one_fails(running: RunningService) -> None:
    """Exit status 4: nobody may publish."""
    assert probe(running.url, running.mint(repository_id="1"), "--resource", "acme/model").returncode == 4


def test_a_service_that_accepts_everything_fails(running: RunningService) -> None:
    """Exit status 1: the worst that can happen to a token service is that it says yes."""

    class Yes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(
                {"access_token": "kl_x", "token_type": "Bearer", "expires_in": 3600, "issued_token_type": "x"}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Yes) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = probe(url, running.issuer.mint({"aud": url, "sub": "x"}), "--resource", "acme/model")
        server.shutdown()
        thread.join()
    assert done.returncode == 1
    assert "wrong signature" in done.stderr


def test_a_resource_must_be_named(running: RunningService) -> None:
    """Exit status 2."""
    assert probe(running.url, running.mint()).returncode == 2
