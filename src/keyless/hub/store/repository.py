"""One repository on disk: `repo.json`, `refs.json`, `commits/`, `blobs/`.

Every change is written in the order contents, commit, reference. A crash between two steps leaves something that no
reference names, never a reference to something that is not there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from keyless.hub.errors import HubError, bad_request, revision_not_found
from keyless.hub.names import check_new_ref, is_commit_id
from keyless.hub.store.atomic import fsync_directory, write_atomically
from keyless.hub.store.blobs import BlobId, identify
from keyless.hub.store.commits import Author, Commit, decode_commit, encode_commit, make_commit
from keyless.resource import Resource

MAX_FILES: Final = 100_000  # a commit lists all files, so this bounds the size of one (about 20 MB)


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """Describe a repository. `created_at` is in Unix seconds."""

    resource: Resource
    private: bool
    gated: bool
    created_at: float
    sdk: str | None = None


@dataclass(slots=True)
class Refs:
    """Name commits: the heads of the branches, and tags."""

    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What a commit does. `added` maps a path to a content and the temporary file that holds it."""

    added: dict[str, tuple[BlobId, Path]] = field(default_factory=dict)
    copied: dict[str, str] = field(default_factory=dict)  # path -> SHA-256 of a content the repository already holds
    deleted_files: list[str] = field(default_factory=list)
    deleted_folders: list[str] = field(default_factory=list)


class Repository:
    """Read and change one repository.

    Args:
        directory: The repository's own folder.
        resource: Its name.
        clock: Unix seconds.
        lock: Held during every change; one per repository and process. Two processes must not share a folder.
    """

    def __init__(
        self, directory: Path, resource: Resource, *, clock: Callable[[], float], lock: threading.Lock
    ) -> None:
        self.directory: Final = directory
        self.resource: Final = resource
        self._clock: Final = clock
        self._lock: Final = lock

    # --- reading

    def info(self) -> RepositoryInfo:
        """Return the repository's description."""
        document: dict[str, Any] = json.loads((self.directory / "repo.json").read_bytes())
        return RepositoryInfo(
            self.resource, document["private"], document["gated"], document["created_at"], document["sdk"]
        )

    def refs(self) -> Refs:
        """Return the branches and tags."""
        document: dict[str, Any] = json.loads((self.directory / "refs.json").read_bytes())
        return Refs(document["branches"], document["tags"])

    def resolve(self, revision: str) -> Commit:
        """Return the commit that a branch, a tag, `refs/heads/…`, `refs/tags/…` or a commit id names.

        Raises:
            HubError: 404 `RevisionNotFound`.
        """
        refs = self.refs()
        commit_id = (
            refs.branches.get(revision.removeprefix("refs/heads/"))
            or refs.tags.get(revision.removeprefix("refs/tags/"))
            or (revision if is_commit_id(revision) else None)
        )
        if commit_id is None or not (path := self._commit_path(commit_id)).is_file():
            raise revision_not_found(self.resource, revision)
        return _load_commit(path)

    def history(self, commit: Commit, limit: int) -> list[Commit]:
        """Return a commit and its ancestors, newest first, at most `limit`."""
        commits = [commit]
        while len(commits) < limit and (parent := commits[-1].parent) is not None:
            commits.append(_load_commit(self._commit_path(parent)))
        return commits

    def blob_path(self, blob: BlobId) -> Path:
        """Return the file that holds a content."""
        return self.directory / "blobs" / blob.sha256

    def _commit_path(self, commit_id: str) -> Path:
        return self.directory / "commits" / f"{commit_id}.json"

    # --- changing

    def commit(
        self,
        branch: str,
        changes: Changes,
        *,
        title: str,
        message: str,
        author: Author,
        parent_commit: str | None = None,
    ) -> Commit:
        """Add a commit to a branch, or return its head when the changes change nothing.

        Args:
            branch: Name of an existing branch.
            changes: What to do; temporary files of added contents are moved away.
            title: First line of the commit message.
            message: The rest of it.
            author: Who.
            parent_commit: The head the caller worked from, or `None` when any will do.

        Raises:
            HubError: 404 no such branch; 412 `parent_commit` is not the head; 400 the changes do not fit the files.
        """
        with self._lock:
            refs = self.refs()
            branch = branch.removeprefix("refs/heads/")
            if branch not in refs.branches:
                raise revision_not_found(self.resource, branch)
            head = _load_commit(self._commit_path(refs.branches[branch]))
            if parent_commit is not None and parent_commit != head.id:
                raise HubError(f"{branch} has moved on to {head.id}; start again from there", status=412)
            files = self._apply(head.files, changes)
            if files == head.files:
                return head
            for blob, staged in changes.added.values():
                if staged.exists():  # the same content may have arrived twice, under two paths
                    staged.replace(self.blob_path(blob))
            fsync_directory(self.directory / "blobs")
            commit = make_commit(
                parent=head.id, title=title, message=message, author=author, created_at=self._clock(), files=files
            )
            write_atomically(self._commit_path(commit.id), encode_commit(commit))
            refs.branches[branch] = commit.id
            self._write_refs(refs)
            return commit

    def _apply(self, before: Mapping[str, BlobId], changes: Changes) -> dict[str, BlobId]:
        files = dict(before)
        for path in changes.deleted_files:
            if files.pop(path, None) is None:
                raise bad_request(f"Cannot delete {path!a}: no such file")
        for folder in changes.deleted_folders:
            inside = [path for path in files if path.startswith(f"{folder}/")]
            if not inside:
                raise bad_request(f"Cannot delete {folder!a}: no such folder")
            for path in inside:
                del files[path]
        for path, sha256 in changes.copied.items():
            held = self.directory / "blobs" / sha256
            if not held.is_file():
                raise bad_request(f"Cannot commit {path!a}: the hub does not hold its content (no LFS uploads here)")
            files[path] = identify(held)
        files.update({path: blob for path, (blob, _) in changes.added.items()})
        if len(files) > MAX_FILES:
            raise bad_request(f"A repository has at most {MAX_FILES} files")
        _check_no_file_is_a_folder(files)
        return dict(sorted(files.items()))

    def create_branch(self, name: str, start: str | None) -> None:
        """Make a branch at a revision, by default at the head of `main`.

        Raises:
            HubError: 409 it exists; 400 not a name; 404 no such start.
        """
        self._create_ref(name, start, lambda refs: refs.branches)

    def create_tag(self, name: str, start: str | None) -> None:
        """Make a tag; like `create_branch`."""
        self._create_ref(name, start, lambda refs: refs.tags)

    def _create_ref(self, name: str, start: str | None, family: Callable[[Refs], dict[str, str]]) -> None:
        check_new_ref(name)
        with self._lock:
            refs = self.refs()
            # Branches and tags share the names a revision may have, so one name never means two commits.
            if name in refs.branches or name in refs.tags:
                raise HubError(f"{name} already exists in {self.resource}", status=409)
            family(refs)[name] = self.resolve(start or "main").id
            self._write_refs(refs)

    def set_visibility(self, *, private: bool | None = None, gated: bool | None = None) -> None:
        """Change who may read; `None` leaves a switch as it is."""
        with self._lock:
            now = self.info()
            write_info(
                self.directory,
                RepositoryInfo(
                    self.resource,
                    now.private if private is None else private,
                    now.gated if gated is None else gated,
                    now.created_at,
                    now.sdk,
                ),
            )

    def _write_refs(self, refs: Refs) -> None:
        write_refs(self.directory, refs)


def write_info(directory: Path, info: RepositoryInfo) -> None:
    """Write `repo.json`."""
    document = {
        "resource": str(info.resource),
        "private": info.private,
        "gated": info.gated,
        "created_at": info.created_at,
        "sdk": info.sdk,
    }
    write_atomically(directory / "repo.json", json.dumps(document).encode())


def write_refs(directory: Path, refs: Refs) -> None:
    """Write `refs.json`."""
    write_atomically(directory / "refs.json", json.dumps({"branches": refs.branches, "tags": refs.tags}).encode())


def _check_no_file_is_a_folder(files: Mapping[str, BlobId]) -> None:
    for path in files:
        above = path
        while cut := above.rpartition("/")[0]:
            if (above := cut) in files:
                raise bad_request(f"Cannot commit {path!a}: {above!a} is a file")


@lru_cache(maxsize=64)  # a commit never changes, and a download asks for the same one per file
def _load_commit(path: Path) -> Commit:
    return decode_commit(path.read_bytes())
