"""Reading: lists of files, and their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from keyless.hub import access
from keyless.hub.body import parse_object, read_body
from keyless.hub.call import Call
from keyless.hub.errors import HubError, bad_request, entry_not_found
from keyless.hub.names import check_file_path
from keyless.hub.store.blobs import BlobId
from keyless.hub.store.commits import Commit, Folder, list_entries
from keyless.resource import Resource

MAX_PATHS_BYTES: Final = 1_000_000


async def tree(call: Call, resource: Resource, revision: str, folder: str) -> Response:
    """Answer `GET …/tree/{revision}[/{folder}]`, with everything below when `recursive=true`."""
    recursive = call.request.query_params.get("recursive", "").lower() in {"true", "1"}

    def look_up() -> list[dict[str, object]]:
        commit = call.visible(resource).resolve(revision)
        entries = [_entry(path, entry) for path, entry in list_entries(commit, folder, recursive=recursive)]
        if folder and not entries:
            raise entry_not_found(resource, folder, commit.id)
        return entries

    return JSONResponse(await run_in_threadpool(look_up))


async def paths_info(call: Call, resource: Resource, revision: str) -> Response:
    """Answer `POST …/paths-info/{revision}`: the entries of some paths; those that do not exist are left out."""
    body = await read_body(call.request, MAX_PATHS_BYTES)
    if call.request.headers.get("content-type", "").startswith("application/json"):
        paths = parse_object(body).get("paths")
    else:
        try:
            paths = parse_qs(body.decode(), max_num_fields=10_000).get("paths", [])
        except ValueError:
            raise bad_request("The body is not a form") from None
    wanted = [paths] if isinstance(paths, str) else paths
    if not isinstance(wanted, list) or not all(isinstance(path, str) for path in wanted):
        raise bad_request("'paths' is a list of texts")

    def look_up() -> list[dict[str, object]]:
        entries = dict(list_entries(call.visible(resource).resolve(revision), "", recursive=True))
        return [_entry(path, entries[path]) for path in dict.fromkeys(wanted) if path in entries]

    return JSONResponse(await run_in_threadpool(look_up))


def _entry(path: str, entry: BlobId | Folder) -> dict[str, object]:
    if isinstance(entry, Folder):
        return {"type": "directory", "path": path, "oid": entry.git_sha1, "size": 0}
    return {"type": "file", "path": path, "oid": entry.git_sha1, "size": entry.size}


async def resolve(call: Call, resource: Resource, revision: str, path: str) -> Response:
    """Answer `HEAD` and `GET {repo}/resolve/{revision}/{path}`: the bytes themselves, never a redirect."""
    check_file_path(path)
    commit, blob, file = await run_in_threadpool(_find_file, call, resource, revision, path)
    return FileResponse(
        file,
        stat_result=await run_in_threadpool(file.stat),
        filename=path.rpartition("/")[2],
        # The hub shares its origin with the token service: nothing an uploader wrote may run or show as a page here.
        media_type="application/octet-stream",
        headers={
            "ETag": f'"{blob.git_sha1}"',
            "X-Repo-Commit": commit.id,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


def _find_file(call: Call, resource: Resource, revision: str, path: str) -> tuple[Commit, BlobId, Path]:
    repository = call.visible(resource)
    access.require_files(call.identity, repository.info())
    commit = repository.resolve(revision)
    blob = commit.files.get(path)
    if blob is None:
        raise entry_not_found(resource, path, commit.id)
    file = repository.blob_path(blob)
    if not file.is_file() or file.stat().st_size != blob.size:
        # Half a file must not look like a whole one; the length is the cheap part of that to check on every read.
        raise HubError(f"The stored content of {path!a} is damaged", status=500)
    return commit, blob, file
