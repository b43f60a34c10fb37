"""Repositories: create, describe, list."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from keyless.errors import ResourceSyntaxError
from keyless.hub import access
from keyless.hub.body import read_json_object
from keyless.hub.call import Call, iso_time
from keyless.hub.errors import HubError, bad_request, credentials_missing, forbidden
from keyless.hub.store.blobs import BlobId
from keyless.hub.store.commits import Commit
from keyless.hub.store.repository import Repository
from keyless.resource import Resource, ResourceType, parse_resource

MAX_BODY_BYTES: Final = 64 * 1024
MAX_LISTED: Final = 1000
_TYPES: Final = {"model": "models", "dataset": "datasets", "space": "spaces"}


async def create(call: Call) -> Response:
    """Answer `POST /api/repos/create`, the first call of every upload.

    A CI token makes exactly the repository it is bound to, if its operations include `create`.
    """
    body = await read_json_object(call.request, MAX_BODY_BYTES)
    resource = _named_in(body, call)
    private = body.get("visibility") == "private" or body.get("private") is True
    sdk = body.get("sdk")
    return await run_in_threadpool(_create, call, resource, private, sdk if isinstance(sdk, str) else None)


def _create(call: Call, resource: Resource, private: bool, sdk: str | None) -> Response:
    repository = call.store.find(resource)
    if repository is not None and access.may_see(call.identity, repository.info()) and not call.identity.is_anonymous:
        return _exists(call, resource)
    # Either operation proves that the repository is the caller's own, so the next answers may be open.
    token = access.require_any_operation(call.identity, resource, ("create", "write"))
    if repository is not None:  # its own, but the token may only create
        return _exists(call, resource)
    if "create" not in token.operations:
        raise forbidden(
            f"{resource.short} does not exist yet, and the token's trusted publisher does not allow 'create'. "
            "Create the repository first, or allow it there"
        )
    try:
        call.store.create(resource, private=private, sdk=sdk, author=call.author())
    except HubError as error:
        if error.status == 409:  # another job of the same publisher was faster
            return _exists(call, resource)
        raise
    return JSONResponse({"url": call.page_of(resource), "name": resource.short, "id": resource.short})


def _exists(call: Call, resource: Resource) -> Response:
    message = f"{resource.short} already exists"
    # `url` is required here as well: the client reads it before it goes on.
    return JSONResponse(
        {"error": message, "url": call.page_of(resource)}, status_code=409, headers={"X-Error-Message": message}
    )


async def delete(call: Call) -> Response:
    """Refuse `DELETE /api/repos/delete`: no CI token can delete a repository."""
    await read_json_object(call.request, MAX_BODY_BYTES)
    if call.identity.is_anonymous:
        raise credentials_missing("A token is needed")
    raise forbidden("A CI token cannot delete a repository: only the hub's operator can")


def _named_in(body: dict[str, object], call: Call) -> Resource:
    name, organization, type_ = body.get("name"), body.get("organization"), body.get("type") or "model"
    if organization is None and call.identity.token is not None:
        organization = call.identity.token.resource.namespace  # the client leaves it out for "my own namespace"
    if not isinstance(name, str) or not isinstance(organization, str) or not isinstance(type_, str):
        raise bad_request("'name', 'organization' and 'type' are texts")
    if (plural := _TYPES.get(type_)) is None:
        raise bad_request(f"This hub holds models, datasets and spaces, not {type_!a}")
    return parse_name(plural, organization, name)


def parse_name(plural: str, namespace: str, name: str) -> Resource:
    """Return the repository that three path segments name.

    Raises:
        HubError: 400 not a valid name.
    """
    try:
        return parse_resource(f"{plural}/{namespace}/{name}")
    except ResourceSyntaxError as error:
        raise bad_request(error.message) from None


async def info(call: Call, resource: Resource, revision: str) -> Response:
    """Answer `GET /api/{type}/{repo}` and `GET /api/{type}/{repo}/revision/{revision}`."""
    with_blobs = call.request.query_params.get("blobs", "").lower() == "true"

    def look_up() -> dict[str, object]:
        repository = call.visible(resource)
        return describe(repository, repository.resolve(revision), with_blobs=with_blobs)

    return JSONResponse(await run_in_threadpool(look_up))


async def list_all(call: Call, type_: ResourceType) -> Response:
    """Answer `GET /api/models?author=…` and its siblings: what the caller may see, without the files."""
    query = call.request.query_params
    author, search = query.get("author"), query.get("search", "").lower()
    if author is not None:
        try:
            author = parse_resource(f"users/{author}").namespace
        except ResourceSyntaxError as error:
            raise bad_request(error.message) from None
    limit = query.get("limit", "")
    most = min(int(limit), MAX_LISTED) if limit.isascii() and limit.isdigit() and len(limit) < 9 else MAX_LISTED

    def look_up() -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for repository in call.store.repositories(type_, author):
            if len(found) >= most:
                break
            if search in repository.resource.short.lower() and access.may_see(call.identity, repository.info()):
                listed = describe(repository, repository.resolve("main"), with_blobs=False)
                del listed["siblings"]
                found.append(listed)
        return found

    return JSONResponse(await run_in_threadpool(look_up))


def describe(repository: Repository, commit: Commit, *, with_blobs: bool) -> dict[str, object]:
    """Describe a repository at a commit; `siblings` is always the complete list of files (1.19.0 downloads by it)."""
    facts = repository.info()
    resource = facts.resource
    description: dict[str, object] = {
        "_id": f"{resource}",
        "id": f"{resource.namespace}/{resource.name}",
        "author": resource.namespace,
        "sha": commit.id,
        "lastModified": iso_time(commit.created_at),
        "createdAt": iso_time(facts.created_at),
        "private": facts.private,
        "gated": "auto" if facts.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(path, blob, with_blobs=with_blobs) for path, blob in commit.files.items()],
    }
    if resource.type is ResourceType.MODEL:
        description["modelId"] = description["id"]
    if facts.sdk is not None:
        description["sdk"] = facts.sdk
    return description


def _sibling(path: str, blob: BlobId, *, with_blobs: bool) -> dict[str, object]:
    if not with_blobs:
        return {"rfilename": path}
    return {"rfilename": path, "size": blob.size, "blobId": blob.git_sha1}
