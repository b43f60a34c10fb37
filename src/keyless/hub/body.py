"""Request bodies within bounds: small JSON documents whole, commits as a stream."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from keyless.errors import MalformedTokenError
from keyless.hub.errors import HubError, bad_request, too_large
from keyless.hub.store.blobs import StagedBlob
from keyless.jose.json import parse_json_object

MAX_LINE_BYTES: Final = 256 * 1024  # one line of a commit without its content; the client's longest is a commit message
# In valid JSON a quote after a backslash is inside a text, so this can only be a member of that name.
_CONTENT: Final = re.compile(rb'(?<!\\)"content"[ \t]*:[ \t]*"')


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a whole body.

    Raises:
        HubError: 413 it is longer than `max_bytes`.
    """
    check_announced_length(request, max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _body_too_large(max_bytes)
    return bytes(body)


async def read_json_object(request: Request, max_bytes: int) -> dict[str, object]:
    """Read a body that is one JSON object; an empty body is an empty object.

    Raises:
        HubError: 413 too long; 400 not such a body.
    """
    body = await read_body(request, max_bytes)
    return parse_object(body) if body else {}


def parse_object(data: bytes) -> dict[str, object]:
    """Parse one JSON object: names unique, numbers finite.

    Raises:
        HubError: 400.
    """
    try:
        return parse_json_object(data)
    except MalformedTokenError as error:
        raise bad_request(f"The body cannot be read: {error.message}") from None


def check_announced_length(request: Request, max_bytes: int) -> None:
    """Refuse a body by its Content-Length, before any of it is read.

    Raises:
        HubError: 413.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
        raise _body_too_large(max_bytes)


def _body_too_large(max_bytes: int) -> HubError:
    return too_large(f"The request body is larger than {max_bytes // 1_000_000 or 1} MB")


@dataclass(frozen=True, slots=True)
class CommitLine:
    """One line of a commit; `content` is the decoded member of that name, which is left empty in `value`."""

    key: str
    value: dict[str, object]
    content: StagedBlob | None


@dataclass(slots=True)
class CommitLines:
    """Take newline-delimited JSON apart while it arrives, contents going straight to disk.

    A 100 MB file is one line of 133 MB; neither the line nor the file is ever in memory as a whole.

    Args:
        stage: Opens a file for a content.
    """

    stage: Callable[[], StagedBlob]
    _pending: bytearray = field(default_factory=bytearray)
    _line: bytearray = field(default_factory=bytearray)
    _base64: bytes = b""
    _padded: bool = False
    _in_content: bool = False
    _content: StagedBlob | None = None
    _staged: list[StagedBlob] = field(default_factory=list)

    def feed(self, chunk: bytes) -> list[CommitLine]:
        """Take the next bytes and return the lines they complete.

        Raises:
            HubError: 400 not the format; 413 a content above the hub's limit.
        """
        self._pending += chunk
        lines: list[CommitLine] = []
        while True:
            if self._in_content and not self._take_content():
                return lines
            newline = self._pending.find(b"\n")
            found = _CONTENT.search(self._pending, 0, newline if newline >= 0 else len(self._pending))
            if found:
                if self._content is not None:
                    raise bad_request("A line of the commit has two contents")
                self._take_line(found.end())
                self._content = self.stage()
                self._staged.append(self._content)
                self._in_content, self._base64, self._padded = True, b"", False
            elif newline >= 0:
                self._take_line(newline)
                del self._pending[:1]
                if line := self._end_line():
                    lines.append(line)
            else:
                if len(self._line) + len(self._pending) > MAX_LINE_BYTES:
                    raise bad_request("A line of the commit is too long")
                return lines

    def finish(self) -> list[CommitLine]:
        """Return the last line if the body did not end with a newline.

        Raises:
            HubError: 400 the body ends in the middle of a content.
        """
        lines = self.feed(b"\n")
        if self._in_content:
            raise bad_request("The commit ends in the middle of a file")
        return lines

    def discard(self) -> None:
        """Remove the temporary files; those a commit kept are already elsewhere."""
        for staged in self._staged:
            staged.discard()

    def _take_line(self, length: int) -> None:
        self._line += self._pending[:length]
        del self._pending[:length]
        if len(self._line) > MAX_LINE_BYTES:
            raise bad_request("A line of the commit is too long")

    def _take_content(self) -> bool:
        """Decode what is pending; return whether the content's closing quote was met."""
        quote = self._pending.find(b'"')
        encoded = self._base64 + bytes(self._pending if quote < 0 else self._pending[:quote])
        whole = len(encoded) if quote >= 0 else len(encoded) - len(encoded) % 4
        self._decode(encoded[:whole])
        self._base64 = encoded[whole:]
        if quote < 0:
            self._pending.clear()
            return False
        del self._pending[:quote]
        self._in_content = False
        return True

    def _decode(self, encoded: bytes) -> None:
        if self._content is None or not encoded:
            return
        try:
            if self._padded:  # padding ends a content; nothing may follow it
                raise binascii.Error
            self._content.write(binascii.a2b_base64(encoded, strict_mode=True))
        except binascii.Error:
            raise bad_request("A file of the commit is not base64") from None
        self._padded = encoded.endswith(b"=")

    def _end_line(self) -> CommitLine | None:
        text, content = bytes(self._line).strip(), self._content
        self._line.clear()
        self._content = None
        if not text:
            return None
        line = parse_object(text)
        key, value = line.get("key"), line.get("value")
        if not isinstance(key, str) or not isinstance(value, dict) or len(line) != 2:
            raise bad_request("A line of the commit is not an object of key and value")
        # The content was lifted out by its name alone; make sure that it was the one of this line's value.
        if (content is not None) != (value.get("content") == ""):
            raise bad_request("A line of the commit has its content in the wrong place")
        return CommitLine(key, value, content)
