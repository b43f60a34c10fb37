"""Writing: what would change (`preupload`), and the change itself (`commit`)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keyless.hub.body import CommitLine, CommitLines, check_announced_length, read_json_object
from keyless.hub.call import Call
from keyless.hub.errors import bad_request, too_large
from keyless.hub.gitignore import GitIgnore
from keyless.hub.names import check_file_path
from keyless.hub.store.blobs import MAX_FILE_BYTES, file_too_large
from keyless.hub.store.commits import Commit
from keyless.hub.store.repository import MAX_FILES, Changes
from keyless.resource import Resource

MAX_PREUPLOAD_BYTES: Final = 8_000_000  # 256 files, each with a path and the base64 of 512 bytes, and a .gitignore
MAX_COMMIT_BYTES: Final = 2_000_000_000  # all files of one commit; 1.19.0 never splits, 2.4.0 does at about 100 MB
MAX_TITLE_CHARS: Final = 1000
MAX_MESSAGE_CHARS: Final = 50_000
_BATCH_BYTES: Final = 512 * 1024  # per trip to a worker thread

_log: Final = logging.getLogger(__name__)


async def preupload(call: Call, resource: Resource, revision: str) -> Response:
    """Answer `POST …/preupload/{revision}`: how to send each file, and which the hub already has.

    The mode is always `regular` (D25): for `lfs` the client of 2.x speaks Xet and nothing else.
    """
    call.refuse_pull_request()
    await run_in_threadpool(call.writable, resource)
    body = await read_json_object(call.request, MAX_PREUPLOAD_BYTES)
    files, ignore_text = body.get("files"), body.get("gitIgnore", "")
    if not isinstance(files, list) or not isinstance(ignore_text, str):
        raise bad_request("'files' is a list, 'gitIgnore' a text")
    ignore = GitIgnore(ignore_text)

    def answer() -> list[dict[str, object]]:
        stored = call.writable(resource).resolve(revision).files
        answers: list[dict[str, object]] = []
        for file in files:
            path, size = _announced(file)
            ignored = ignore.ignores(path)
            if size > MAX_FILE_BYTES and not ignored:
                raise file_too_large(path)
            one: dict[str, object] = {"path": path, "uploadMode": "regular", "shouldIgnore": ignored}
            if path in stored:
                one["oid"] = stored[path].git_sha1
            answers.append(one)
        return answers

    return JSONResponse({"files": await run_in_threadpool(answer)})


def _announced(file: object) -> tuple[str, int]:
    if not isinstance(file, dict):
        raise bad_request("An entry of 'files' is not an object")
    size = file.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise bad_request("The 'size' of a file is a number of bytes")
    return check_file_path(file.get("path")), size


async def commit(call: Call, resource: Resource, revision: str) -> Response:
    """Answer `POST …/commit/{revision}`: newline-delimited JSON, contents in base64."""
    call.refuse_pull_request()
    repository = await run_in_threadpool(call.writable, resource)
    check_announced_length(call.request, MAX_COMMIT_BYTES)
    lines = CommitLines(call.store.stage)
    draft = _Draft()
    try:
        async for batch in _batches(call.request):
            await run_in_threadpool(lambda chunk: draft.take(lines.feed(chunk)), batch)
        await run_in_threadpool(lambda: draft.take(lines.finish()))
        title, message, parent = draft.header()
        made = await run_in_threadpool(
            lambda: repository.commit(
                revision, draft.changes, title=title, message=message, author=call.author(), parent_commit=parent
            )
        )
    finally:
        await run_in_threadpool(lines.discard)
    _log.info("%s committed to %s %s by publisher %s", made.id[:12], resource, revision, made.author.publisher_id)
    return JSONResponse(_receipt(call, resource, made))


async def _batches(request: Request) -> AsyncIterator[bytes]:
    batch = bytearray()
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > MAX_COMMIT_BYTES:
            raise too_large(f"A commit is at most {MAX_COMMIT_BYTES // 1_000_000} MB")
        batch += chunk
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)


def _receipt(call: Call, resource: Resource, made: Commit) -> dict[str, object]:
    return {
        "success": True,
        "commitOid": made.id,
        "commitUrl": f"{call.page_of(resource)}/commit/{made.id}",
        "hookOutput": "",
    }


class _Draft:
    """Collect a commit's lines, checking each as it comes."""

    def __init__(self) -> None:
        self.changes: Final = Changes()
        self._header: dict[str, object] | None = None
        self._lines = 0

    def take(self, lines: list[CommitLine]) -> None:
        """Add lines; the contents they carry are made durable here."""
        for line in lines:
            self._lines += 1
            if self._lines > MAX_FILES:
                raise bad_request(f"A commit has at most {MAX_FILES} lines")
            self._take(line)

    def header(self) -> tuple[str, str, str | None]:
        """Return title, message and expected parent.

        Raises:
            HubError: 400 no header, or one with other types.
        """
        if self._header is None:
            raise bad_request("The commit has no header")
        title, message = self._header.get("summary"), self._header.get("description") or ""
        parent = self._header.get("parentCommit")
        if not isinstance(title, str) or not isinstance(message, str) or not isinstance(parent, str | None):
            raise bad_request("'summary', 'description' and 'parentCommit' of the header are texts")
        if len(title) > MAX_TITLE_CHARS or len(message) > MAX_MESSAGE_CHARS:
            raise bad_request(f"A commit message has at most {MAX_TITLE_CHARS} + {MAX_MESSAGE_CHARS} characters")
        return title, message, parent

    def _take(self, line: CommitLine) -> None:
        if (line.key == "header") == (self._header is not None):
            raise bad_request("A commit begins with its one header")
        if line.content is not None and line.key != "file":
            raise bad_request(f"A {line.key!a} line has no content")
        match line.key:
            case "header":
                self._header = line.value
            case "file":
                self._take_file(line)
            case "lfsFile":
                self._take_copy(line)
            case "deletedFile":
                self.changes.deleted_files.append(self._new_path(line))
            case "deletedFolder":
                folder = line.value.get("path")
                text = folder.removesuffix("/") if isinstance(folder, str) else folder
                self.changes.deleted_folders.append(check_file_path(text))
            case _:
                raise bad_request(f"A commit line cannot be {line.key[:50]!a}")

    def _take_file(self, line: CommitLine) -> None:
        if line.content is None or line.value.get("encoding") != "base64":
            raise bad_request("A 'file' line has its 'content' in 'encoding' base64")
        path = self._new_path(line)
        self.changes.added[path] = (line.content.finish(), line.content.path)

    def _take_copy(self, line: CommitLine) -> None:
        oid = line.value.get("oid")
        if line.value.get("algo") != "sha256" or not isinstance(oid, str) or not _is_sha256(oid):
            raise bad_request("An 'lfsFile' line names its content by 'algo' sha256 and 'oid'")
        self.changes.copied[self._new_path(line)] = oid

    def _new_path(self, line: CommitLine) -> str:
        path = check_file_path(line.value.get("path"))
        if path in self.changes.added or path in self.changes.copied or path in self.changes.deleted_files:
            raise bad_request(f"The commit names {path!a} twice")
        return path


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)
