from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from keyless.resource import parse_resource
from tests.hub.running import Answer, RunningHub


def create(hub: RunningHub, repo: str, token: str | None, **members: object) -> Answer:
    namespace, _, name = repo.partition("/")
    body = {"name": name, "organization": namespace, "type": "model", **members}
    return hub.call("POST", "/api/repos/create", token=token, json_body=body)


@pytest.mark.parametrize("type_, prefix", [("model", ""), ("dataset", "datasets/"), ("space", "spaces/")])
def test_missing_repository_is_made_by_its_own_token(hub: RunningHub, name: str, type_: str, prefix: str) -> None:
    """S10, D25: `create` makes exactly the repository the token is bound to."""
    answer = create(hub, f"{name}/m", f"good:{prefix}{name}/m:read+write+create", type=type_, sdk="gradio")

    assert (answer.status, answer.json["url"]) == (200, f"{hub.url}/{prefix}{name}/m")
    described = hub.call("GET", f"/api/{type_}s/{name}/m").json
    assert (described["id"], described["author"], described["private"], described["siblings"]) == (
        f"{name}/m",
        name,
        False,
        [],
    )


@pytest.mark.parametrize("members", [{"visibility": "private"}, {"private": True}], ids=["new", "old"])
def test_private_is_honoured(hub: RunningHub, name: str, members: dict[str, object]) -> None:
    """D25: `--private`, as both majors write it."""
    token = f"good:{name}/m:read+write+create"
    create(hub, f"{name}/m", token, **members)

    assert hub.call("GET", f"/api/models/{name}/m").status == 404
    assert hub.call("GET", f"/api/models/{name}/m", token=token).json["private"] is True


def test_existing_repository_is_409_with_its_address(hub: RunningHub, name: str) -> None:
    """D25: the client reads `url` here as well and goes on."""
    hub.store.create(parse_resource(f"{name}/m"), private=True)

    for operations in ("read+write", "write", "read", "create"):
        answer = create(hub, f"{name}/m", f"good:{name}/m:{operations}")

        assert (answer.status, answer.json["url"]) == (409, f"{hub.url}/{name}/m")


def test_two_jobs_that_create_at_once_both_go_on(hub: RunningHub, name: str) -> None:
    """D25: one makes it, the other reads that it exists; neither fails."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: create(hub, f"{name}/m", f"good:{name}/m:create"), range(8)))

    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert {answer.json["url"] for answer in answers} == {f"{hub.url}/{name}/m"}


def test_missing_repository_is_not_made_without_the_operation(hub: RunningHub, name: str) -> None:
    """S10: write is not create, and the message says which of the two is missing."""
    answer = create(hub, f"{name}/m", f"good:{name}/m:read+write")

    assert answer.status == 403
    assert "does not exist yet" in answer.json["error"]
    assert hub.store.find(parse_resource(f"{name}/m")) is None


@pytest.mark.parametrize(
    "token", ["good:acme/other:create", "good:datasets/{name}/m:create", "good:{name}:read+write+create"]
)
def test_other_tokens_make_nothing(hub: RunningHub, name: str, token: str) -> None:
    """V20: another repository, another type, a user."""
    answer = create(hub, f"{name}/m", token.format(name=name))

    assert answer.status == 403
    assert hub.store.find(parse_resource(f"{name}/m")) is None


def test_anonymous_makes_nothing(hub: RunningHub, name: str) -> None:
    """S6: an upload without a token ends here, also when the repository exists and is public."""
    assert create(hub, f"{name}/m", None).status == 401
    hub.store.create(parse_resource(f"{name}/m"))
    assert create(hub, f"{name}/m", None).status == 401


def test_namespace_left_out_is_the_tokens_own(hub: RunningHub, name: str) -> None:
    """D25: `hf upload my-model .`."""
    body = {"name": "m", "type": "model", "organization": None}

    assert hub.call("POST", "/api/repos/create", token=f"good:{name}/m:create", json_body=body).status == 200


@pytest.mark.parametrize(
    "members",
    [
        {"type": "bucket"},
        {"type": 7},
        {"name": 7},
        {"name": "a/b"},
        {"name": ".."},
        {"name": ""},
        {"organization": "api"},
    ],
    ids=str,
)
def test_name_that_cannot_be_is_refused(hub: RunningHub, name: str, members: dict[str, object]) -> None:
    """T18: the grammar of resources holds here too."""
    assert create(hub, f"{name}/m", f"good:{name}/m:create", **members).status == 400


def test_no_ci_token_deletes_a_repository(hub: RunningHub, name: str) -> None:
    """T99: that is the operator's."""
    hub.store.create(parse_resource(f"{name}/m"))
    body = {"name": "m", "organization": name, "type": "model"}

    assert hub.call("DELETE", "/api/repos/delete", token=f"good:{name}/m:write", json_body=body).status == 403
    assert hub.call("DELETE", "/api/repos/delete", json_body=body).status == 401
    assert hub.store.find(parse_resource(f"{name}/m")) is not None


def test_listing_shows_what_the_caller_may_see(hub: RunningHub, name: str) -> None:
    """D25, T94: private ones only to their own."""
    for repo, private in (("a", False), ("b", True), ("c", True)):
        hub.store.create(parse_resource(f"{name}/{repo}"), private=private)

    def listed(token: str | None, query: str = "") -> list[str]:
        answer = hub.call("GET", f"/api/models?author={name}{query}", token=token)
        return [entry["id"].rpartition("/")[2] for entry in answer.json]

    assert listed(None) == ["a"]
    assert listed(f"good:{name}/b:read") == ["a", "b"]
    assert listed(f"good:{name}:read") == ["a", "b", "c"]
    assert listed(f"good:{name}:read", "&limit=2") == ["a", "b"]
    assert listed(f"good:{name}:read", "&search=/C") == ["c"]
    assert listed(None, "&limit=%C2%B2") == ["a"]


@pytest.mark.parametrize("author", ["..", "a%2Fb", "%00"])
def test_author_is_a_name(hub: RunningHub, author: str) -> None:
    """T18: a query does not walk the disk."""
    assert hub.call("GET", f"/api/models?author={author}").status == 400


def test_description_has_what_the_client_reads(hub: RunningHub, name: str) -> None:
    """D25: `siblings` is complete: 1.19.0 downloads by it."""
    token = f"good:{name}/m:read+write+create"
    create(hub, f"{name}/m", token)
    commit_id = hub.commit(f"models/{name}/m", {"b/c": b"xyz", "a": b""}, token=token).json["commitOid"]

    for address in ("", "/revision/main", f"/revision/{commit_id}", "/revision/refs%2Fheads%2Fmain"):
        described = hub.call("GET", f"/api/models/{name}/m{address}").json
        assert described["sha"] == commit_id
        assert described["siblings"] == [{"rfilename": "a"}, {"rfilename": "b/c"}]
    blobs = hub.call("GET", f"/api/models/{name}/m?blobs=true").json["siblings"]
    assert [(entry["rfilename"], entry["size"]) for entry in blobs] == [("a", 0), ("b/c", 3)]
    missing = hub.call("GET", f"/api/models/{name}/m/revision/nope")
    assert (missing.status, missing.headers["x-error-code"]) == (404, "RevisionNotFound")
