"""Branches, tags and history."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from keyless.hub.body import read_json_object
from keyless.hub.call import Call, iso_time
from keyless.hub.errors import bad_request
from keyless.resource import Resource

MAX_BODY_BYTES: Final = 64 * 1024
MAX_LISTED_COMMITS: Final = 100


async def create_branch(call: Call, resource: Resource, name: str) -> Response:
    """Answer `POST …/branch/{name}`; the body may give a `startingPoint`."""
    start = _revision(await read_json_object(call.request, MAX_BODY_BYTES), "startingPoint")
    await run_in_threadpool(lambda: call.writable(resource).create_branch(name, start))
    return JSONResponse({"ref": f"refs/heads/{name}"}, status_code=201)


async def create_tag(call: Call, resource: Resource, revision: str) -> Response:
    """Answer `POST …/tag/{revision}`; the body gives the name as `tag`."""
    name = _revision(await read_json_object(call.request, MAX_BODY_BYTES), "tag")
    if name is None:
        raise bad_request("'tag' is missing")
    await run_in_threadpool(lambda: call.writable(resource).create_tag(name, revision))
    return JSONResponse({"ref": f"refs/tags/{name}"}, status_code=201)


async def list_refs(call: Call, resource: Resource) -> Response:
    """Answer `GET …/refs`."""
    refs = await run_in_threadpool(lambda: call.visible(resource).refs())
    return JSONResponse(
        {
            "branches": [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in refs.branches.items()
            ],
            "tags": [
                {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in refs.tags.items()
            ],
            "converts": [],
            "pullRequests": [],
        }
    )


async def list_commits(call: Call, resource: Resource, revision: str) -> Response:
    """Answer `GET …/commits/{revision}`: the newest hundred, each with the CI job that made it."""

    def look_up() -> list[dict[str, object]]:
        repository = call.visible(resource)
        return [
            {
                "id": commit.id,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author.name}],
                "publisher": commit.author.publisher_id,
                "date": iso_time(commit.created_at),
            }
            for commit in repository.history(repository.resolve(revision), MAX_LISTED_COMMITS)
        ]

    return JSONResponse(await run_in_threadpool(look_up))


def _revision(body: dict[str, object], member: str) -> str | None:
    value = body.get(member)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"{member!r} is a text")
    return value
