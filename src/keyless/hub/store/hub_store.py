"""All repositories of one directory: `repos/<type>/<namespace>/<name>/`, and `incoming/` for unfinished uploads."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from keyless.errors import UnavailableError
from keyless.hub.errors import HubError
from keyless.hub.store.atomic import fsync_directory, write_atomically
from keyless.hub.store.blobs import StagedBlob
from keyless.hub.store.commits import Author, encode_commit, make_commit
from keyless.hub.store.repository import Refs, Repository, RepositoryInfo, write_info, write_refs
from keyless.resource import Resource, ResourceType

_log: Final = logging.getLogger(__name__)

REPOSITORY_TYPES: Final = (ResourceType.MODEL, ResourceType.DATASET, ResourceType.SPACE)


class HubStore:
    """Hold repositories below one directory, which belongs to this process alone.

    Args:
        directory: Made when missing. Unfinished uploads of an earlier run are removed.
        clock: Unix seconds.
        on_created: Told of each new repository.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float] = time.time,
        on_created: Callable[[Resource], None] | None = None,
    ) -> None:
        self.directory: Final = directory
        self._clock: Final = clock
        self._on_created: Final = on_created
        self._repositories: Final = directory / "repos"
        self._incoming: Final = directory / "incoming"
        self._locks: Final[dict[Resource, threading.Lock]] = {}
        self._locks_guard: Final = threading.Lock()
        self._repositories.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir()

    def stage(self) -> StagedBlob:
        """Open a temporary file for a content that is about to arrive."""
        return StagedBlob(self._incoming)

    def find(self, resource: Resource) -> Repository | None:
        """Return a repository, or `None`."""
        directory = self._directory_of(resource)
        try:
            stored = json.loads((directory / "repo.json").read_bytes())["resource"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stored != str(resource):  # a file system that ignores case found another repository
            return None
        return Repository(directory, resource, clock=self._clock, lock=self._lock_of(resource))

    def create(
        self,
        resource: Resource,
        *,
        private: bool = False,
        gated: bool = False,
        sdk: str | None = None,
        author: Author | None = None,
    ) -> Repository:
        """Make an empty repository with one commit on `main`.

        Raises:
            HubError: 409 it exists already; 400 a type the hub does not hold.
        """
        if resource.type not in REPOSITORY_TYPES:
            raise HubError(f"This hub holds models, datasets and spaces, not {resource.type.plural}", status=400)
        now = self._clock()
        first = make_commit(
            parent=None, title="initial commit", message="", author=author or Author("hub"), created_at=now, files={}
        )
        building = self._incoming / secrets.token_hex(16)
        for folder in ("blobs", "commits"):
            (building / folder).mkdir(parents=True)
        write_atomically(building / "commits" / f"{first.id}.json", encode_commit(first))
        write_refs(building, Refs(branches={"main": first.id}))
        write_info(building, RepositoryInfo(resource, private, gated, now, sdk))
        directory = self._directory_of(resource)
        directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            building.rename(directory)  # refuses a folder that is not empty, so the first of two wins
        except OSError:
            shutil.rmtree(building, ignore_errors=True)
            if directory.exists():
                raise HubError(f"{resource} already exists", status=409) from None
            raise
        fsync_directory(directory.parent)
        if self._on_created is not None:
            try:
                self._on_created(resource)
            except UnavailableError as error:
                _log.warning("the token service was not told that %s exists: %s", resource, error)
        return Repository(directory, resource, clock=self._clock, lock=self._lock_of(resource))

    def repositories(self, type_: ResourceType, namespace: str | None = None) -> Iterator[Repository]:
        """List the repositories of a type, by name, of one namespace or of all."""
        root = self._repositories / type_.plural
        namespaces = [root / namespace] if namespace else sorted(root.iterdir()) if root.is_dir() else []
        for folder in namespaces:
            if not folder.is_dir():
                continue
            for directory in sorted(folder.iterdir()):
                if repository := self.find(Resource(type_, folder.name, directory.name)):
                    yield repository

    def set_visibility(self, resource: Resource, *, private: bool | None = None, gated: bool | None = None) -> None:
        """Change who may read a repository; `None` leaves a switch as it is.

        Raises:
            KeyError: There is no such repository.
        """
        if (repository := self.find(resource)) is None:
            raise KeyError(str(resource))
        repository.set_visibility(private=private, gated=gated)

    def _directory_of(self, resource: Resource) -> Path:
        return self._repositories / resource.type.plural / resource.namespace / resource.name

    def _lock_of(self, resource: Resource) -> threading.Lock:
        with self._locks_guard:
            return self._locks.setdefault(resource, threading.Lock())
