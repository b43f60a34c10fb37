"""Plain calls to the fakes, with nothing of the client under test in between."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def http(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: object = None
) -> tuple[int, str, Mapping[str, str]]:
    """Send a request and return status, body and headers; a refusal is an answer like any other."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}), method=method)
    try:
        with _OPENER.open(request, timeout=5) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def program(words: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a platform's program as a job does."""
    return subprocess.run(list(words), env=dict(environ), capture_output=True, text=True, timeout=20, check=False)
