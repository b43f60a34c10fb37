"""A commit: the whole list of a repository's files at one moment, with who made it and why. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keyless.hub.store.blobs import BlobId


@dataclass(frozen=True, slots=True)
class Author:
    """Say who made a commit: the name shown, and the publisher and CI issuer behind it (empty for the operator)."""

    name: str
    publisher_id: str = ""
    ci_issuer: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit. `created_at` is in Unix seconds; `files` maps each path to its content."""

    id: str
    parent: str | None
    title: str
    message: str
    author: Author
    created_at: float
    files: Mapping[str, BlobId]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a commit, with the id git would give its tree."""

    path: str
    git_sha1: str


def make_commit(
    *,
    parent: str | None,
    title: str,
    message: str,
    author: Author,
    created_at: float,
    files: Mapping[str, BlobId],
) -> Commit:
    """Make a commit; its id is a digest of everything in it, parent included."""
    commit = Commit("", parent, title, message, author, created_at, dict(sorted(files.items())))
    digest = hashlib.sha256(encode_commit(commit)).hexdigest()[
        :40
    ]  # the client wants 40 hex digits, any digest will do
    return Commit(digest, parent, title, message, author, created_at, commit.files)


def encode_commit(commit: Commit) -> bytes:
    """Write a commit as the JSON text that is stored."""
    document = {
        "id": commit.id,
        "parent": commit.parent,
        "title": commit.title,
        "message": commit.message,
        "author": {
            "name": commit.author.name,
            "publisher_id": commit.author.publisher_id,
            "ci_issuer": commit.author.ci_issuer,
        },
        "created_at": commit.created_at,
        "files": {path: [blob.size, blob.git_sha1, blob.sha256] for path, blob in commit.files.items()},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode_commit(data: bytes) -> Commit:
    """Read a commit as `encode_commit` wrote it."""
    document: dict[str, Any] = json.loads(data)
    return Commit(
        id=document["id"],
        parent=document["parent"],
        title=document["title"],
        message=document["message"],
        author=Author(**document["author"]),
        created_at=document["created_at"],
        files={path: BlobId(*blob) for path, blob in document["files"].items()},
    )


def list_entries(commit: Commit, folder: str, *, recursive: bool) -> Iterator[tuple[str, BlobId | Folder]]:
    """List a folder of a commit in path order: files, and folders with their tree ids.

    Args:
        commit: The commit.
        folder: Path of the folder, empty for the root.
        recursive: Whether to list what lies in the folders below, too.
    """
    prefix = f"{folder}/" if folder else ""
    below = {path: blob for path, blob in commit.files.items() if path.startswith(prefix)}
    entries: dict[str, BlobId | Folder] = {}
    _tree_id(below, prefix, entries, recursive=recursive)
    yield from sorted(entries.items())


def _tree_id(
    files: Mapping[str, BlobId],
    prefix: str,
    entries: dict[str, BlobId | Folder],
    *,
    recursive: bool,
    listed: bool = True,
) -> str:
    """Return the id of the git tree below `prefix` (git, "Git Objects"), filling in `entries` on the way."""
    here: dict[str, tuple[bytes, str]] = {}
    folders: dict[str, dict[str, BlobId]] = {}
    for path, blob in files.items():
        name, slash, _ = path[len(prefix) :].partition("/")
        if slash:
            folders.setdefault(name, {})[path] = blob
            continue
        here[name] = (b"100644", blob.git_sha1)
        if listed:
            entries[path] = blob
    for name, inside in folders.items():
        tree = _tree_id(inside, f"{prefix}{name}/", entries, recursive=recursive, listed=listed and recursive)
        here[f"{name}/"] = (b"40000", tree)  # git sorts a folder as if its name ended with a slash
        if listed:
            entries[prefix + name] = Folder(prefix + name, tree)
    body = b"".join(
        mode + b" " + name.rstrip("/").encode() + b"\0" + bytes.fromhex(oid)
        for name, (mode, oid) in sorted(here.items(), key=lambda item: item[0].encode())
    )
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
