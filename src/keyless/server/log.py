"""The service's log: one line an event on stderr, for people or as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TextIO

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
GRANTS_SECONDS: Final = 0.05  # how long the lines of grants gather; the audit has had each of them before

_log = logging.getLogger("keyless.server")


@lru_cache(maxsize=4)
def _second(unix_seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_seconds))


def _moment(created: float) -> str:
    return f"{_second(int(created))}.{int(created % 1 * 1000):03}Z"


class _JsonLines(logging.Formatter):
    """One JSON object a line; what a call gives as `extra` stands in it under its own name."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class _PlainLines(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 - theirs
        return _moment(record.created)


class ServiceHandler(logging.StreamHandler[TextIO]):
    """Write records one by one, and grants many at a time."""

    def write_grants(self, grants: Sequence[Grant]) -> None:
        """Write one line for each grant, all with one call of the operating system."""
        line = _json_line if isinstance(self.formatter, _JsonLines) else _plain_line
        self.acquire()
        try:
            self.stream.write("".join(map(line, grants)))
            self.flush()
        except OSError:  # as `logging` has it: a log that cannot be written ends no service
            pass
        finally:
            self.release()


class Grant(NamedTuple):
    """What the log says of one granted exchange. No text of it can break a line: all are ours."""

    at: float
    request_id: str
    publisher: str
    resource: str
    scope: str


def _plain_line(grant: Grant) -> str:
    at, request_id, publisher, resource, scope = grant
    return f"{_moment(at)} INFO granted {request_id} publisher={publisher} resource={resource} scope={scope}\n"


def _json_line(grant: Grant) -> str:
    at, request_id, publisher, resource, scope = grant
    message = f"granted {request_id} publisher={publisher} resource={resource} scope={scope}"
    return (
        f'{{"at":"{_moment(at)}","level":"info","logger":"keyless.server","message":"{message}",'
        f'"event":"granted","request_id":"{request_id}","publisher":"{publisher}","resource":"{resource}",'
        f'"scope":"{scope}"}}\n'
    )


class GrantLog:
    """Log granted exchanges, which are by far the most lines, without making a log record of each (D17)."""

    def __init__(self) -> None:
        self._waiting: list[Grant] = []

    def write(self, request_id: str, publisher: str, resource: str, scope: str) -> None:
        """Log one grant; from inside an event loop, within `GRANTS_SECONDS`."""
        if not _log.isEnabledFor(logging.INFO):
            return
        self._waiting.append(Grant(time.time(), request_id, publisher, resource, scope))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(GRANTS_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what has gathered."""
        grants, self._waiting = self._waiting, []
        handlers = logging.getLogger("keyless").handlers
        if not (_log.propagate and handlers and all(isinstance(handler, ServiceHandler) for handler in handlers)):
            for grant in grants:  # somebody else has set the log up
                _log.info("granted %s publisher=%s resource=%s scope=%s", *grant[1:])
            return
        for handler in handlers:
            if isinstance(handler, ServiceHandler):
                handler.write_grants(grants)


def configure_logging(level: str, form: Literal["console", "json"], *, stream: TextIO | None = None) -> None:
    """Send the log of the service and of its HTTP server to stderr.

    Args:
        level: A `logging` level name in lower case.
        form: Plain lines for people, or one JSON object a line.
        stream: Where to write; stderr by default.
    """
    handler = ServiceHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _PlainLines("%(asctime)s %(levelname)s %(message)s"))
    for name in ("keyless", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if name == "keyless" else logging.WARNING)
