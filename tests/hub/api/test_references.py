from __future__ import annotations

import pytest

from keyless.resource import parse_resource
from tests.hub.running import RunningHub


@pytest.fixture
def repo(hub: RunningHub, name: str) -> str:
    hub.store.create(parse_resource(f"{name}/m"))
    hub.commit(f"models/{name}/m", {"a": b"1"}, token=f"good:{name}/m:write")
    return f"{name}/m"


def test_branch_and_tag_are_made_and_listed(hub: RunningHub, repo: str) -> None:
    """D25: `--revision new` makes the branch; slashes are one encoded segment."""
    token = f"good:{repo}:read+write"
    head = hub.call("GET", f"/api/models/{repo}").json["sha"]

    assert hub.call("POST", f"/api/models/{repo}/branch/feature%2Fx", token=token, body=b"{}").status == 201
    assert hub.call("POST", f"/api/models/{repo}/tag/main", token=token, json_body={"tag": "v1"}).status == 201
    refs = hub.call("GET", f"/api/models/{repo}/refs").json
    assert {ref["name"]: ref["targetCommit"] for ref in refs["branches"]} == {"main": head, "feature/x": head}
    assert refs["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": head}]
    committed = hub.commit(f"models/{repo}", {"b": b"2"}, token=token, revision="feature%2Fx")
    assert committed.status == 200
    assert hub.call("GET", f"/{repo}/resolve/feature%2Fx/b").body == b"2"
    assert hub.call("GET", f"/{repo}/resolve/v1/b").status == 404


def test_branch_can_start_anywhere_and_exists_once(hub: RunningHub, repo: str) -> None:
    """D25: 409 is "exists" to the client."""
    token = f"good:{repo}:write"
    first = hub.call("GET", f"/api/models/{repo}/commits/main").json[-1]["id"]
    body = {"startingPoint": first}

    assert hub.call("POST", f"/api/models/{repo}/branch/old", token=token, json_body=body).status == 201
    assert hub.call("POST", f"/api/models/{repo}/branch/old", token=token, json_body=body).status == 409
    assert hub.call("GET", f"/api/models/{repo}/revision/old").json["sha"] == first


@pytest.mark.parametrize(
    "path, body",
    [
        ("branch/-x", {}),
        ("branch/" + "0" * 40, {}),
        ("branch/x", {"startingPoint": 7}),
        ("tag/main", {}),
        ("tag/main", {"tag": "a b"}),
    ],
)
def test_ref_that_cannot_be_is_400(hub: RunningHub, repo: str, path: str, body: dict[str, object]) -> None:
    """D25."""
    assert hub.call("POST", f"/api/models/{repo}/{path}", token=f"good:{repo}:write", json_body=body).status == 400


def test_refs_are_changed_by_the_repositorys_token_only(hub: RunningHub, repo: str) -> None:
    """V20."""
    assert hub.call("POST", f"/api/models/{repo}/branch/x", body=b"{}").status == 401
    assert hub.call("POST", f"/api/models/{repo}/branch/x", token=f"good:{repo}:read", body=b"{}").status == 403
