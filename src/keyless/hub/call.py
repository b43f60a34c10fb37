"""What every handler of the hub's API is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from keyless.hub import access
from keyless.hub.errors import bad_request, not_found
from keyless.hub.identity import Identity
from keyless.hub.store import HubStore
from keyless.hub.store.commits import Author
from keyless.hub.store.repository import Repository
from keyless.resource import Resource, ResourceType


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks for what, and the store that answers.

    `public_url` has no trailing slash. Every address the hub hands out begins with it: the client refuses others.
    """

    request: Request
    identity: Identity
    store: HubStore
    public_url: str

    def visible(self, resource: Resource) -> Repository:
        """Return a repository the caller may know of. Blocks.

        Raises:
            HubError: 404 `RepoNotFound`.
        """
        return access.require_visible(self.identity, resource, self.store.find(resource))

    def writable(self, resource: Resource) -> Repository:
        """Return a repository the caller may write to. Blocks.

        Raises:
            HubError: 401 or 403 by the token alone; then 404 `RepoNotFound`.
        """
        access.require_operation(self.identity, resource, "write")
        return self.visible(resource)

    def author(self) -> Author:
        """Return the caller as the author of a commit."""
        token = self.identity.token
        if token is None:
            return Author(self.identity.name)
        return Author(self.identity.name, token.publisher_id, token.ci_issuer)

    def refuse_pull_request(self) -> None:
        """Refuse `--create-pr` in words that say what to do instead.

        Raises:
            HubError: 400.
        """
        if self.request.query_params.get("create_pr") not in {None, "0", "false"}:
            raise bad_request(NO_PULL_REQUESTS)

    def page_of(self, resource: Resource) -> str:
        """Return a repository's address as people write it."""
        return f"{self.public_url}/{resource.short}"


NO_PULL_REQUESTS = "This hub has no pull requests: upload without --create-pr, to a branch of its own if need be"
Handler = Callable[[Call], Awaitable[Response]]

_TYPES = {"models": ResourceType.MODEL, "datasets": ResourceType.DATASET, "spaces": ResourceType.SPACE}


def type_of(plural: str) -> ResourceType:
    """Return the repository type that a path segment names.

    Raises:
        HubError: 404; the hub does not hold such things.
    """
    if (type_ := _TYPES.get(plural)) is None:
        raise not_found("This hub serves models, datasets and spaces")
    return type_


def iso_time(unix_seconds: float) -> str:
    """Write a time as the client parses it, for example `2026-11-22T10:00:00.000Z`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
