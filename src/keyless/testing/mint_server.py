"""What the fake platforms with an id-token endpoint, or with a program of their own, have in common."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from keyless.testing.faults import Fault, fail, send
from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import LoopbackServer, send_json

PROGRAM_PATH: Final = "/-/program"  # where the stand-in for a platform's program asks what to print

_PROGRAM: Final = """\
import http.client, json, os, sys
connection = http.client.HTTPConnection("127.0.0.1", {port}, timeout=30)
call = json.dumps({{"arguments": sys.argv[1:], "environ": dict(os.environ)}})
connection.request("POST", "{path}", call, {{"Content-Type": "application/json"}})
answer = json.loads(connection.getresponse().read())
sys.stderr.write(answer["complaint"])
sys.stdout.write(answer["output"])
sys.exit(answer["status"])
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that a platform got: over HTTP, or as a run of its program (then `method` is `RUN`)."""

    method: str
    path: str
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    body: bytes = b""
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] | None = None

    def header(self, name: str) -> str:
        """Return a header, or the empty text."""
        return self.headers.get(name.lower(), "")

    def one(self, name: str) -> str | None:
        """Return a query parameter that is there exactly once."""
        values = self.query.get(name, ())
        return values[0] if len(values) == 1 else None

    def json(self) -> dict[str, object]:
        """Return the body as a JSON object, empty where it is not one."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def option(self, name: str) -> str | None:
        """Return what follows a word among the program's arguments."""
        if name not in self.arguments[:-1]:
            return None
        return self.arguments[self.arguments.index(name) + 1]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the program gives."""

    output: str = ""
    status: int = 0
    complaint: str = ""


class MintServer(LoopbackServer):
    """A platform around one job, with an endpoint or a program that mints.

    A child implements `serve`, and `run` where it has a program.

    Args:
        issuer: Signs the tokens.
        claims: What they say; may be changed between two mints.
    """

    PROGRAM: str = ""  # its name, as the platform's documentation has it

    def __init__(self, issuer: FakeIssuer, claims: Mapping[str, object]) -> None:
        super().__init__()
        self.issuer: Final = issuer
        self.claims: dict[str, object] = dict(claims)
        self.lifetime_seconds = 300
        self.requests: Final[list[Asked]] = []
        self._lock: Final = Lock()
        self._fault: Fault | None = None
        self._ran: Ran | None = None

    @property
    def mints(self) -> int:
        """Return how often an id token was asked for."""
        return len(self.requests)

    def misbehave(self, mode: Fault | str) -> None:
        """Fail over HTTP from now on."""
        self._fault = Fault(mode)

    def misprint(self, ran: Ran) -> None:
        """Let the program end like this from now on, whatever it is asked."""
        self._ran = ran

    def behave(self) -> None:
        """Mint again."""
        self._fault = self._ran = None

    def sign(self, audience: object, **overrides: object) -> str:
        """Sign the job's claims for an audience."""
        return self.issuer.mint({**self.claims, "aud": audience, **overrides}, lifetime_seconds=self.lifetime_seconds)

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        folder = tempfile.TemporaryDirectory(prefix="keyless-testing-")
        script = Path(folder.name) / "program.py"
        script.write_text(_PROGRAM.format(port=self._server.server_address[1], path=PROGRAM_PATH))
        program = Path(folder.name) / "bin" / self.PROGRAM
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{script}" "$@"\n')
        program.chmod(0o755)
        return folder

    @property
    def program_directory(self) -> str:
        """Return the folder of the platform's program, to be put at the front of `PATH`."""
        return str(Path(self._folder.name) / "bin")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and remove the program."""
        super().close()
        if "_folder" in self.__dict__:
            self._folder.cleanup()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Take a request, record it, and serve it or fail."""
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if url.path == PROGRAM_PATH:
            self._run(handler, json.loads(body))
            return
        query = {name: tuple(values) for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, url.path, query, headers, body)
        with self._lock:
            self.requests.append(asked)
        if self._fault is not None:
            fail(handler, self._fault, self.closing)
        else:
            self.serve(handler, asked)

    def _run(self, handler: BaseHTTPRequestHandler, call: Mapping[str, object]) -> None:
        arguments, environ = call["arguments"], call["environ"]
        assert isinstance(arguments, list)  # noqa: S101  # written by the program above
        assert isinstance(environ, dict)  # noqa: S101  # as above
        asked = Asked("RUN", self.PROGRAM, {}, {}, arguments=tuple(map(str, arguments)), environ=environ)
        with self._lock:
            self.requests.append(asked)
        ran = self._ran or self.run(asked)
        send_json(handler, 200, {"output": ran.output, "status": ran.status, "complaint": ran.complaint})

    def serve(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        """Answer a request; the base class knows no path."""
        del asked
        send_json(handler, 404, {"message": "no such path"})

    def run(self, asked: Asked) -> Ran:
        """Do what the program does; the base class knows no command."""
        del asked
        return Ran(status=1, complaint="unknown command\n")


def send_text(handler: BaseHTTPRequestHandler, status: int, text: str, **headers: str) -> None:
    """Send plain text."""
    send(handler, status, "text/plain; charset=utf-8", text.encode(), **headers)
