"""What stands on the wire around an answer, prepared once for all answers of a second. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from keyless.server.doors.http import ALWAYS, HttpAnswer

Headers = Sequence[tuple[bytes, bytes]]
CLOSE: Final = b"connection: close\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 section 5.6.2
_NOT_IN_VALUES: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def status_line(status: int) -> bytes:
    """Return the first line of an answer."""
    if (line := _STATUS_LINES.get(status)) is None:
        line = b"HTTP/1.1 %d \r\n" % status
    return line


_STATUS_LINES: Final = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n".encode("ascii") for s in HTTPStatus}


def field_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header lines.

    Raises:
        ValueError: A name or a value that would end its line, and begin one that nobody meant.
    """
    lines = []
    for name, value in headers:
        if not _NAME.fullmatch(name) or _NOT_IN_VALUES.search(value):
            raise ValueError(f"this cannot stand in an HTTP header: {name!r}")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


class Heads:
    """Make whole answers out of our own JSON ones.

    The lines that every answer carries are joined once for each status and second, not for each answer.
    """

    def __init__(self) -> None:
        self._every: Headers = ()
        self._begin: dict[int, bytes] = {}

    def answer(self, answer: HttpAnswer, every: Headers, *, close: bool) -> bytes:
        """Return a whole answer as it goes on the wire.

        Args:
            answer: What to say.
            every: The headers of every answer of this server, the date among them.
            close: Whether it is the last one on its connection.
        """
        if every is not self._every:  # the server makes a new list each second
            self._every = every
            self._begin.clear()
        begin = self._begin.get(answer.status)
        if begin is None:
            fixed = ((b"content-type", b"application/json"), *ALWAYS, *every)
            begin = status_line(answer.status) + field_lines(fixed)
            self._begin[answer.status] = begin
        more = field_lines(answer.headers) if answer.headers else b""
        return b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b%b\r\n%b" % (
            begin,
            len(answer.body),
            answer.request_id.encode("ascii"),
            more,
            CLOSE if close else b"",
            answer.body,
        )
