"""What belongs to a namespace is for its people: by list, by id, by filter, in every room of the API (T94, T113)."""

from __future__ import annotations

from typing import Any

import pytest

from keyless.testing import github_claims
from tests.server.api.manager import Manager
from tests.server.service import Service


@pytest.fixture
def jti(manager: Manager) -> str:
    """A live token of acme/model."""
    assert manager.service.exchange().status == 200
    found = manager.call("GET", "/tokens", query="resource=acme/model").json["items"]
    return str(found[0]["jti"])


def without_request_id(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.json.items() if name != "request_id"}


def test_a_token_is_seen_and_ended_by_its_owner_only(manager: Manager, jti: str) -> None:
    """T113, T106: by id, another namespace's owner gets the answer for what is not there; nothing is revoked."""
    path = f"/tokens/{jti}"
    for method in ("GET", "DELETE"):
        refused = manager.call(method, path, who="other")
        assert refused.status == 404
        assert without_request_id(refused) == without_request_id(manager.call(method, "/tokens/unknown", who="other"))
    assert manager.call("DELETE", path, who="viewer").status == 403
    assert manager.call("GET", path, who="viewer").json["revoked_at"] is None

    assert manager.call("DELETE", path, who="owner").status == 204
    assert manager.call("DELETE", path, who="owner").status == 204
    shown = manager.call("GET", path, who="owner").json
    assert shown["revoked_reason"] == "revoked by a person"
    event = [e for e in manager.service.app.store.audit_events() if e.kind == "token.revoked"][-1]
    assert (event.actor, event.jti is not None) == ("person:owner", True)
    state = manager.service.app.store.token_state(jti)
    assert state is not None
    assert not state.live


def test_live_tokens_are_listed_by_what_one_may_see(manager: Manager, jti: str) -> None:
    """T113: by resource or publisher; everything only for who may look everywhere; never the token itself."""
    publisher = manager.publisher.id
    for query in ("resource=acme/model", f"publisher={publisher}", f"publisher={publisher}&resource=acme/model"):
        assert [t["jti"] for t in manager.call("GET", "/tokens", who="viewer", query=query).json["items"]] == [jti]
        assert manager.call("GET", "/tokens", who="other", query=query).status == 404
    assert manager.call("GET", "/tokens", who="owner").status == 403
    assert manager.call("GET", "/tokens", who="auditor").json["items"][0]["jti"] == jti
    other = manager.add("acme/second")["id"]
    assert manager.call("GET", "/tokens", query=f"publisher={other}&resource=acme/model").json["items"] == []

    manager.call("DELETE", f"/tokens/{jti}")
    assert manager.call("GET", "/tokens", query="resource=acme/model").json["items"] == []
    assert manager.call("GET", "/tokens").json["items"][0]["jti"] == jti


def test_tokens_come_page_after_page(manager: Manager) -> None:
    """D4: by key, each once, in both orders."""
    for _ in range(5):
        manager.service.exchange()
        manager.service.clock.advance(1)
    for query in ("", "&resource=acme/model"):
        found: list[str] = []
        after = ""
        while True:
            page = manager.call("GET", "/tokens", query=f"limit=2{query}{after}").json
            found += [token["jti"] for token in page["items"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert len(found) == len(set(found)) == 5


def test_the_audit_is_for_those_it_concerns(manager: Manager, jti: str) -> None:
    """D15, T113: by resource, by event, by request; what concerns no namespace is for who may look everywhere."""
    events = manager.call("GET", "/audit", who="owner", query="resource=acme/model").json["items"]
    granted = next(event for event in events if event["kind"] == "token.granted")
    one = f"/audit/{granted['writer']}/{granted['sequence']}"
    request = f"/audit/{granted['request_id']}"

    for path in (one, request):
        assert manager.call("GET", path, who="viewer").status == 200
        assert manager.call("GET", path, who="other").status == 404
    assert manager.call("GET", "/audit", who="other", query="resource=acme/model").status == 404
    assert manager.call("GET", "/audit", who="owner").status == 403
    everything = manager.call("GET", "/audit", who="auditor").json["items"]
    people = next(event for event in everything if event["kind"].startswith("principal."))
    path = f"/audit/{people['writer']}/{people['sequence']}"
    assert manager.call("GET", path, who="auditor").status == 200
    assert manager.call("GET", path, who="owner").status == 404
    assert manager.call("POST", "/audit/verify", who="owner").status == 403
    assert manager.call("POST", "/audit/verify", who="auditor").json["intact"] is True


def test_network_addresses_are_for_admins(manager: Manager, jti: str) -> None:
    """D15: personal data is not for everybody who may look."""

    def address(who: str) -> object:
        events = manager.call("GET", "/audit", who=who, query="resource=acme/model").json["items"]
        return next(event for event in events if event["kind"] == "token.granted")["address"]

    assert address("admin") == "192.0.2.7"
    assert [address(who) for who in ("owner", "auditor", "machine")] == [None, None, None]


@pytest.mark.parametrize("sequence", ["0", "-1", "x", "9" * 19, "9" * 30, "\u0661"])
def test_an_event_that_cannot_be_is_not_there(manager: Manager, sequence: str) -> None:
    """V05: whatever is written for the number."""
    assert manager.call("GET", f"/audit/w_unknown/{sequence}").status == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", "2147483648", "9" * 30, "\u0661"])
def test_an_issuer_that_cannot_be_is_not_there(manager: Manager, number: str) -> None:
    """V05: as above."""
    assert manager.call("GET", f"/issuers/{number}").status == 404


def test_explain_tells_what_is_expected_to_those_who_may_read_it(manager: Manager) -> None:
    """D12: the table: owner, viewer and auditor see; another namespace's owner and nobody learn nothing."""
    claims = github_claims(ref="refs/heads/dev")
    question = {"resource": "acme/model", "claims": claims, "issuer": manager.service.issuer.url}
    for who in ("admin", "owner", "viewer", "auditor", "machine"):
        answer = manager.call("POST", "/explain", question, who=who)
        assert answer.status == 200
        findings = {f["claim"]: f for f in answer.json["publishers"][0]["claims"]}
        assert findings["branch"] == {"claim": "branch", "matches": False, "expected": "'main'", "received": "dev"}

    for resource in ("acme/model", "acme/unknown"):
        refused = manager.call("POST", "/explain", {**question, "resource": resource}, who="other")
        assert (refused.status, "main" in refused.body.decode()) == (404, False)
    assert manager.call("POST", "/explain", question, who=None).status == 401
    explained = [e for e in manager.service.app.store.audit_events() if e.kind == "exchange.explained"]
    assert [event.reason for event in explained] == ["no_matching_publisher"] * 5
    assert explained[-1].actor == "machine:machine"


def test_explain_takes_an_id_token_as_the_exchange_does(manager: Manager) -> None:
    """D12: verified, and neither claimed nor minted: afterwards it is exchanged."""
    token = manager.service.mint()
    answer = manager.call("POST", "/explain", {"resource": "acme/model", "id_token": token}, who="owner")

    assert (answer.status, answer.json["accepted"]) == (200, True)
    assert token not in answer.body.decode()
    assert manager.service.exchange(token).status == 200
    forged = manager.call("POST", "/explain", {"resource": "acme/model", "id_token": token[:-4] + "AAAA"}, who="owner")
    assert (forged.json["accepted"], forged.json["publishers"]) == (False, [])


def test_explanations_are_bounded(manager: Manager) -> None:
    """D12: sixty a minute of one person, then 429: nobody fills the audit with questions."""
    question = {"resource": "acme/model", "claims": {}, "provider": "github"}
    statuses = [manager.call("POST", "/explain", question, who="owner").status for _ in range(61)]

    assert statuses == [200] * 60 + [429]
    assert manager.call("POST", "/explain", question, who="viewer").status == 200


def test_resources_and_namespaces_are_listed_by_what_one_may_see(manager: Manager) -> None:
    """T113: lists hold what is one's own, page after page."""
    manager.add("datasets/acme/data")
    manager.add("other/model")

    def listed(who: str, path: str, name: str) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            page = manager.call("GET", path, who=who, query=f"limit=1{after}").json
            found += [item[name] for item in page["items"]]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    assert listed("owner", "/resources", "resource") == ["datasets/acme/data", "models/acme/model"]
    assert listed("other", "/resources", "resource") == ["models/other/model"]
    assert listed("auditor", "/resources", "resource") == [
        *("datasets/acme/data", "models/acme/model", "models/other/model"),
    ]
    assert listed("owner", "/namespaces", "name") == ["acme"]
    assert listed("admin", "/namespaces", "name") == ["acme", "other"]
    for path in ("/resources/acme/model", "/resources/models/acme/model", "/namespaces/acme"):
        assert manager.call("GET", path, who="owner").status == 200
        assert manager.call("GET", path, who="other").status == 404
    assert manager.call("GET", "/resources/a/b/c/d").status == 404


def test_a_lock_counts_at_once_and_needs_its_version(manager: Manager) -> None:
    """T109, D16: a resource's owner locks it; a namespace is an admin's to lock and to open."""
    path = "/resources/acme/model"
    etag = manager.call("GET", path, who="owner").headers["etag"]
    assert manager.call("PATCH", path, {"state": "locked"}, who="owner").status == 428
    assert manager.call("PATCH", path, {"state": "locked"}, who="owner", match='"x"').status == 412
    assert manager.call("PATCH", path, {"state": "locked"}, who="viewer", match=etag).status == 403
    assert manager.call("PATCH", path, {"state": "locked"}, who="owner", match=etag).json["state"] == "locked"
    assert manager.service.exchange().status == 400
    assert manager.call("GET", "/locks", who="auditor").json["resources"] == ["models/acme/model"]
    assert manager.call("PATCH", path, {"state": "active"}, who="owner", match="*").status == 200

    assert manager.call("PATCH", "/namespaces/acme", {"state": "locked"}, match="*").status == 200
    assert manager.call("PATCH", "/namespaces/acme", {"state": "active"}, who="owner", match="*").status == 403
    assert manager.service.exchange().status == 400
    assert manager.call("PATCH", "/namespaces/acme", {"state": "active"}, match="*").status == 200
    assert manager.call("PATCH", "/locks", {"everything": True}, match="*").json["everything"] is True
    assert manager.service.exchange().status != 200
    assert manager.call("PATCH", "/locks", {"everything": False}, match="*").status == 200
    assert manager.service.exchange().status == 200


def test_a_policy_reaches_no_further_than_its_bringer(manager: Manager) -> None:
    """T113: planning needs sight, applying needs ownership, of every namespace that is named or spoken of."""
    entry = {**manager.description("acme/new")}
    for document in (
        {"version": 1, "namespaces": ["acme"]},
        {"version": 1, "publisher": [entry]},
        {"version": 1, "namespaces": ["other"], "publisher": [entry]},
    ):
        body = {"policy": document, "prune": True}
        before = manager.kinds()
        assert manager.call("POST", "/policy/plan", body, who="other").status == 404
        assert manager.call("POST", "/policy/apply", body, who="other").status == 404
        assert manager.kinds() == before
    body = {"policy": {"version": 1, "publisher": [entry]}}
    assert manager.call("POST", "/policy/plan", body, who="viewer").status == 200
    assert manager.call("POST", "/policy/apply", body, who="viewer").status == 403
    assert manager.call("POST", "/policy/apply", body, who="machine").status == 403
    bringing = {"policy": {"version": 1, "issuer": [{"url": "https://ci.example.org"}], "publisher": [entry]}}
    assert manager.call("POST", "/policy/apply", bringing, who="owner").status == 403

    plan = manager.call("POST", "/policy/plan", body, who="owner").json
    stale = manager.call("POST", "/policy/apply", {**body, "expect": "0" * 16}, who="owner")
    assert (stale.status, stale.json["code"]) == (409, "plan_changed")
    assert manager.call("POST", "/policy/apply", {**body, "expect": plan["digest"]}, who="owner").status == 200
    assert manager.call("POST", "/policy/plan", body, who="owner").json["differs"] is False


def test_a_plan_over_the_api_changes_nothing(manager: Manager) -> None:
    """D13: not a row, with a reading token."""
    body = {
        "policy": {"version": 1, "namespaces": ["acme"], "publisher": [manager.description("acme/x")]},
        "prune": True,
    }
    before = (manager.kinds(), manager.service.app.store.trust_version())
    plan = manager.call("POST", "/policy/plan", body, who="machine")

    assert [change["action"] for change in plan.json["changes"]] == ["remove", "add"]
    assert (manager.kinds(), manager.service.app.store.trust_version()) == before
    assert manager.service.exchange().status == 200


def test_the_issuers_of_a_service_are_changed_by_admins(manager: Manager) -> None:
    """K15, K13: switched off, distrusted, pinned, each with its version; everybody signed in may look."""
    listed = manager.call("GET", "/issuers", who="viewer").json["items"]
    path = f"/issuers/{listed[0]['id']}"
    etag = manager.call("GET", path, who="viewer").headers["etag"]
    off = manager.call("PATCH", path, {"enabled": False}, match=etag)

    assert (off.status, off.json["enabled"]) == (200, False)
    assert manager.call("PATCH", path, {"enabled": True}, match=etag).status == 412
    assert manager.service.exchange().status == 400
    manager.call("PATCH", path, {"enabled": True, "distrusted_kids": ["stolen"]}, match=off.headers["etag"])
    assert manager.call("GET", f"{path}/keys", who="owner").json["distrusted"] == ["stolen"]
    assert manager.call("PATCH", path, {"distrusted_kids": []}, match="*").json["distrusted_kids"] == []
    assert manager.call("POST", f"{path}/keys/refresh").status == 202
    assert manager.service.exchange().status == 200
    added = manager.call("POST", "/issuers", {"url": "https://ci.example.org", "immutable_claims": ["id"]})
    assert (added.status, added.json["kind"]) == (201, "generic")
    assert manager.call("GET", "/issuers", query="url=https://ci.example.org").json["items"] == [added.json]


def test_a_credential_is_shown_once(manager: Manager) -> None:
    """T97: in the answer that makes it, in no list, and not when the answer is given again."""
    body = {"name": "registry", "audience": "https://r.example.org"}
    first = manager.call("POST", "/resource-servers", body, key="k1")
    again = manager.call("POST", "/resource-servers", body, key="k1")

    assert first.json["credential"].startswith("klrs_")
    assert again.json["credential"] is None
    listed = manager.call("GET", "/resource-servers", who="viewer")
    assert first.json["credential"] not in listed.body.decode()
    assert [server["name"] for server in listed.json["items"]] == ["hub", "registry"]
    assert manager.call("POST", "/resource-servers/registry/credential").json["credential"].startswith("klrs_")
    assert manager.call("DELETE", "/resource-servers/hub", match="*").json["code"] == "in_use"
    assert manager.call("DELETE", "/resource-servers/registry", match="*").status == 204


def test_people_are_managed_by_admins(manager: Manager) -> None:
    """D13: add, give roles, make a code, end a login, switch off, remove; each with its version, each recorded."""
    added = manager.call("POST", "/people", {"name": "carol", "roles": [{"role": "owner", "namespace": "acme"}]})
    assert (added.status, added.headers["location"]) == (201, "/api/v1/people/carol")
    assert manager.call("POST", "/people", {"name": "carol", "roles": []}).status == 422
    code = manager.call("POST", "/people/carol/codes").json["code"]
    login = manager.call("POST", "/login", {"code": code}, who=None).json
    assert manager.call("GET", f"/publishers/{manager.publisher.id}", login=login["token"]).status == 200
    assert [item["id"] for item in manager.call("GET", "/people/carol/logins").json["items"]] == [login["login"]]

    viewer = {"roles": [{"role": "viewer", "namespace": "other"}]}
    assert manager.call("PATCH", "/people/carol", viewer, match='"7"').status == 412
    assert manager.call("PATCH", "/people/carol", viewer, match='"1"').headers["etag"] == '"2"'
    assert manager.call("GET", f"/publishers/{manager.publisher.id}", login=login["token"]).status == 404
    assert manager.call("DELETE", f"/people/owner/logins/{login['login']}").status == 404  # not owner's
    assert manager.call("DELETE", f"/people/carol/logins/{login['login']}").status == 204
    assert manager.call("GET", "/login", login=login["token"]).status == 401
    assert manager.call("POST", "/people/machine/codes").status == 422
    assert manager.call("POST", "/people/owner/tokens", {"expires_in": 600}).status == 422
    token = manager.call("POST", "/people/machine/tokens", {"expires_in": 600}).json
    assert (token["token"][:5], token["read_only"]) == ("klro_", True)
    assert manager.call("PATCH", "/people/carol", {"enabled": False}, match='"2"').status == 200
    assert manager.call("DELETE", "/people/carol", match="*").status == 204
    assert manager.call("GET", "/people/carol").status == 404
    assert [kind for kind in manager.kinds() if kind.startswith("principal.")][-4:] == [
        *("principal.added", "principal.changed", "principal.changed", "principal.removed"),
    ]


def test_an_old_login_of_nobody_is_nothing(service: Service) -> None:
    """D13, on both engines: a store without people lets nobody in."""
    from tests.support.asgi import ask

    headers = {"authorization": f"Bearer klp_{'a' * 43}"}
    assert ask(service.app.inside, "GET", "/api/v1/publishers", headers=headers).status == 401
