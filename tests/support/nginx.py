"""Debian's nginx with the configuration that we ship, on loopback."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "nginx"

MAIN = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
worker_processes 2;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


def find_nginx() -> str:
    """Return the program; a missing one is a failure, not a skip."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail("nginx is missing: apt-get install nginx-light")
    return found


def site(name: str, *, port: int, upstreams: Mapping[str, int], directory: Path) -> str:
    """Return a shipped site with this machine's ports and no TLS; everything else is as it is shipped."""
    text = (SHIPPED / name).read_text()
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace("/etc/nginx/keyless/", f"{directory}/")
    text = re.sub(r"^    ssl_certificate.*\n", "", text, flags=re.MULTILINE)
    for upstream, upstream_port in upstreams.items():
        text, count = re.subn(rf"(upstream {upstream}\s+\{{ server 127\.0\.0\.1):\d+", rf"\1:{upstream_port}", text)
        assert count == 1, upstream
    return text


@contextmanager
def run_nginx(directory: Path, *, port: int, site_text: str, credential: str) -> Iterator[None]:
    """Run nginx with one site until the block ends."""
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(MAIN.format(user=user, directory=directory))
    (directory / "site.conf").write_text(site_text)
    (directory / "credential.conf").write_text(f'proxy_set_header X-Keyless-Proxy "{credential}";\n')
    command = [find_nginx(), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", f"{directory}/error.log"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait(process, port, directory / "error.log")
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nginx did not start: {log.read_text() if log.exists() else ''}")
