"""The service's log: one line an event on stderr, for people or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Literal, TextIO


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def configure_logging(level: str, form: Literal["console", "json"], *, stream: TextIO | None = None) -> None:
    """Send the log of the service and of its HTTP server to stderr.

    Args:
        level: A `logging` level name in lower case.
        form: Plain lines for people, or one JSON object a line.
        stream: Where to write; stderr by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    if form == "json":
        handler.setFormatter(_JsonLines())
    else:
        plain = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        plain.converter = time.gmtime
        handler.setFormatter(plain)
    for name in ("keyless", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if name == "keyless" else logging.WARNING)
