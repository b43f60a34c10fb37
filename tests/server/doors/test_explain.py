"""`POST /oauth/explain`: the owner learns why, nothing is granted, and nobody else learns more than by an exchange."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from keyless.resource import parse_resource
from keyless.server.services.explain import QUESTIONS_PER_IDENTITY, WINDOW_SECONDS
from keyless.testing import FakeIssuer, Fault, unverified_claims
from tests.server.service import PUBLIC_URL, Service
from tests.support.asgi import Answer, ask

EXPLAIN = "/oauth/explain"
Mint = Callable[[Service], str]


def explain(service: Service, token: str | None = None, **changes: str | None) -> Answer:
    """Ask about a token."""
    return service.post(service.members(service.mint() if token is None else token, **changes), EXPLAIN)


def mint_on_dev(service: Service) -> str:
    """Mint the token of the very same workflow, pushed to another branch."""
    workflow = "acme/widgets/.github/workflows/train.yml@refs/heads/dev"
    return service.mint(ref="refs/heads/dev", workflow_ref=workflow, job_workflow_ref=workflow)


def row_counts(service: Service) -> list[int]:
    """Return how many tokens and replay claims there are."""
    return [service.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("token", "replay_use")]


def explained_rows(service: Service) -> list[dict[str, Any]]:
    """Return the audit rows of explanations, oldest first."""
    columns = "reason, publisher_id, resource, jti, request_id, data"
    rows = service.rows(f"SELECT {columns} FROM audit_event WHERE kind = 'exchange.explained' ORDER BY id")
    return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]


def test_an_accepted_job_is_told_so_and_can_still_exchange_its_token(service: Service) -> None:
    """D12: nothing is minted or claimed, also where a token counts once."""
    token = service.mint()
    answers = [explain(service, token) for _ in range(3)]
    nothing = row_counts(service)

    assert [answer.json["accepted"] for answer in answers] == [True] * 3
    assert answers[0].json["reason"] == "accepted"
    assert answers[0].json["resource"] == "models/acme/model"
    assert "access_token" not in answers[0].body.decode()
    assert nothing == [0, 0]
    assert service.exchange(token).status == 200


def test_the_owner_learns_which_claims_differ_and_never_what_is_expected(service: Service) -> None:
    """D12, T95: a verdict for each claim that the publisher looks at, with the caller's own values."""
    answer = explain(service, mint_on_dev(service))
    publisher = service.administration.publishers()[0]

    assert answer.status == 200
    assert answer.json == {
        "accepted": False,
        "reason": "no_matching_publisher",
        "resource": "models/acme/model",
        "publishers": [
            {
                "publisher": publisher.id,
                "accepted": False,
                "claims": [
                    {"claim": "repository_id", "matches": True, "yours": "456789"},
                    {"claim": "repository_owner_id", "matches": True, "yours": "123456"},
                    {"claim": "branch", "matches": False, "yours": "dev"},
                    {"claim": "repository", "matches": True, "yours": "acme/widgets"},
                    {"claim": "workflow", "matches": True, "yours": "train.yml"},
                ],
            }
        ],
    }
    assert "main" not in answer.body.decode()


def test_a_guard_and_an_absent_claim_are_explained(service: Service) -> None:
    """D12, V15: what the rules demand beside the publisher's own conditions is named too."""
    publisher = service.administration.publishers()[0]
    service.administration.remove_publisher(publisher.id)
    service.add_publisher(claims={"repository": ["acme/widgets"], "environment": ["release"]})
    answer = explain(service, service.mint(event_name="pull_request_target"))
    claims = {item["claim"]: item for item in answer.json["publishers"][0]["claims"]}

    assert claims["event_name"] == {"claim": "event_name", "matches": False, "yours": "pull_request_target"}
    assert claims["environment"] == {"claim": "environment", "matches": False, "yours": None}
    assert "release" not in answer.body.decode()


def test_form_and_json_are_the_same_question(service: Service) -> None:
    """V01: the request is the exchange's own."""
    body = urlencode(service.members(service.mint())).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    assert ask(service.app.public, "POST", EXPLAIN, body=body, headers=headers).json["accepted"] is True
    assert ask(service.app.public, "GET", EXPLAIN).status == 405


def test_a_waiting_publisher_is_not_pinned_by_a_question(service: Service) -> None:
    """D10, T86, T116: first use is an exchange's; and who owns nothing yet is told nothing of it."""
    service.add_publisher("acme/new", pins={}, pin_first_use=True)
    answer = explain(service, resource="acme/new")
    waiting = service.administration.publishers(parse_resource("acme/new"))[0]

    assert answer.json == {"accepted": True, "reason": "accepted", "resource": "models/acme/new", "publishers": []}
    assert [pin.value for pin in waiting.pins] == [None, None]


# --- explain as an oracle --------------------------------------------------------------------------------------------

STRANGERS: dict[str, Mint] = {
    "a stranger": lambda s: s.mint(
        repository="evil/repo", repository_id="1", repository_owner_id="2", workflow_ref="evil/repo/x@y"
    ),
    "a sibling repository of the same owner": lambda s: s.mint(repository="acme/other", repository_id="99"),
    "a repository that took over the name": lambda s: s.mint(repository_id="99", repository_owner_id="98"),
    "the same repository id at another owner": lambda s: s.mint(repository_owner_id="98"),
    "the owner's id and no more": lambda s: s.mint(repository="evil/repo", repository_id="1"),
}
TARGETS: dict[str, Callable[[Service], dict[str, str | None]]] = {
    "no such resource": lambda s: {"resource": "acme/missing"},
    "no such namespace": lambda s: {"resource": "nobody/nothing"},
    "somebody's resource": lambda s: {"resource": "acme/model"},
    "a resource with several publishers": lambda s: several(s),
    "a locked resource": lambda s: locked(s),
    "a resource whose publisher is disabled": lambda s: disabled(s),
    "a resource whose publisher has expired": lambda s: expired(s),
    "a resource whose publisher waits for its first use": lambda s: waiting(s),
    "a user": lambda s: user(s),
    "no such publisher": lambda s: {"resource": None, "client_id": "pub_aaaaaaaaaaaaaaaaaaaa"},
    "somebody's publisher": lambda s: {"resource": None, "client_id": s.administration.publishers()[0].id},
}


def several(service: Service) -> dict[str, str | None]:
    """A private resource that two jobs of others may publish to."""
    service.add_publisher("acme/private")
    service.add_publisher("acme/private", claims={"repository": ["acme/widgets"], "tag": ["v*"]})
    return {"resource": "acme/private"}


def locked(service: Service) -> dict[str, str | None]:
    service.add_publisher("acme/locked")
    service.administration.set_resource_state(parse_resource("acme/locked"), "locked")
    return {"resource": "acme/locked"}


def disabled(service: Service) -> dict[str, str | None]:
    publisher = service.add_publisher("acme/disabled")
    service.administration.set_publisher_enabled(publisher.id, enabled=False)
    return {"resource": "acme/disabled"}


def expired(service: Service) -> dict[str, str | None]:
    service.add_publisher("acme/expired", expires_at=int(service.clock()) + 1)
    service.clock.advance(2)
    return {"resource": "acme/expired"}


def waiting(service: Service) -> dict[str, str | None]:
    service.add_publisher(
        "acme/waiting", claims={"repository": ["acme/secret"], "branch": ["main"]}, pins={}, pin_first_use=True
    )
    return {"resource": "acme/waiting"}


def user(service: Service) -> dict[str, str | None]:
    service.add_publisher("alice")
    return {"resource": "alice"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_learns_nothing_that_the_exchange_would_not_tell(
    service: Service, stranger: str, target: str
) -> None:
    """D12, T94, T95: byte for byte one body for whatever there is or is not, but for the caller's own words."""
    members = TARGETS[target](service)
    token = STRANGERS[stranger](service)
    exchanged = service.exchange(token, **members)
    answer = explain(service, token, **members)
    named = members.get("resource")
    own_words = None if named is None else str(parse_resource(named))

    assert (exchanged.status, exchanged.json["reason"]) == (400, "no_matching_publisher")
    assert answer.status == 200
    assert (
        answer.body
        == json.dumps(
            {"accepted": False, "reason": "no_matching_publisher", "resource": own_words, "publishers": []},
            separators=(",", ":"),
        ).encode()
    )
    assert sorted(answer.headers) == sorted(explain(service, token, resource="no/such").headers)


REFUSED: dict[str, Mint] = {
    "malformed": lambda s: "hello",
    "an unknown issuer": lambda s: s.mint(iss="https://evil.example"),
    "a signature that was changed": lambda s: s.mint()[:-9] + "AAAAAAAAA",
    "expired": lambda s: s.mint(iat=int(s.clock()) - 400, exp=int(s.clock()) - 100),
    "not valid yet": lambda s: s.mint(nbf=int(s.clock()) + 100),
    "for somebody else": lambda s: s.mint(aud="https://other.example"),
    "without a claim": lambda s: s.mint(repository_id=""),
    "a claim of another type": lambda s: s.mint(environment=["release"]),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("resource", ["acme/model", "acme/missing"])
def test_a_token_that_is_not_acceptable_is_refused_as_in_an_exchange(
    service: Service, case: str, resource: str
) -> None:
    """D12, V11, V13: signature, audience and time are checked first, and the refusal is the exchange's."""
    token = REFUSED[case](service)
    exchanged, answer = service.exchange(token, resource=resource), explain(service, token, resource=resource)

    assert answer.status == exchanged.status == 400
    assert {**answer.json, "request_id": ""} == {**exchanged.json, "request_id": ""}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"subject_token": None, "claims": '{"repository_id":"456789"}'}, id="bare claims"),
        pytest.param({"subject_token": '{"repository_id":"456789"}'}, id="bare claims as token"),
        pytest.param({"grant_type": "password"}, id="another grant"),
        pytest.param({"resource": None}, id="no target"),
    ],
)
def test_bare_claims_and_broken_requests_get_the_exchanges_answer(
    service: Service, members: dict[str, str | None]
) -> None:
    """D12: a set of claims that nobody signed is no question at all."""
    exchanged = service.post(service.members(service.mint(), **members))
    answer = service.post(service.members(service.mint(), **members), EXPLAIN)

    assert (answer.status, answer.json["reason"]) == (exchanged.status, exchanged.json["reason"])
    assert answer.status == 400


def test_a_named_publisher_tells_its_resource_to_its_owner_only(service: Service) -> None:
    """T94, D22: an id that leaked is no way to find out what it belongs to."""
    members = {"resource": None, "client_id": service.administration.publishers()[0].id}
    owner = explain(service, mint_on_dev(service), **members)
    stranger = explain(service, service.mint(repository_id="1"), **members)

    assert owner.json["resource"] == "models/acme/model"
    assert stranger.json["resource"] is None


def test_only_the_own_publishers_of_a_shared_resource_are_shown(service: Service) -> None:
    """D12: two repositories trusted with one resource do not see each other's conditions."""
    mine = service.administration.publishers()[0]
    service.add_publisher(
        claims={"repository": ["acme/other"], "branch": ["secret-branch"]},
        pins={"repository_id": "99", "repository_owner_id": "123456"},
    )
    answer = explain(service, mint_on_dev(service))

    assert [item["publisher"] for item in answer.json["publishers"]] == [mine.id]


# --- audit, budget, outage -------------------------------------------------------------------------------------------


def test_every_explanation_has_its_row(service: Service) -> None:
    """D12, D15, T108: audited like an exchange; before a good signature there is no row."""
    publisher = service.administration.publishers()[0]
    accepted = explain(service)
    explain(service, mint_on_dev(service))
    explain(service, service.mint(aud="https://other.example"))
    explain(service, service.mint()[:-9] + "AAAAAAAAA")
    rows = explained_rows(service)

    assert [row["reason"] for row in rows] == ["accepted", "no_matching_publisher", "audience_mismatch"]
    assert rows[0]["publisher_id"] == publisher.id
    assert rows[0]["request_id"] == accepted.headers["x-request-id"]
    assert rows[0]["jti"] is None
    assert json.loads(rows[1]["data"])["details"] == [f"{publisher.id}: branch is 'dev', expected 'main'"]
    assert service.app.store.verify_chain().intact


def test_an_identity_that_asks_too_often_is_told_when_to_come_back(service: Service) -> None:
    """D12, T105: a small budget for each identity, and nobody else's; the exchange goes on."""
    token = mint_on_dev(service)
    answers = [explain(service, token) for _ in range(QUESTIONS_PER_IDENTITY + 1)]
    last = answers[-1]

    assert [answer.status for answer in answers[:-1]] == [200] * QUESTIONS_PER_IDENTITY
    assert (last.status, last.json["reason"]) == (429, "rate_limited")
    assert 1 <= int(last.headers["retry-after"]) <= WINDOW_SECONDS
    assert explain(service, service.mint(repository_id="7")).status == 200
    assert service.exchange().status == 200
    assert len(explained_rows(service)) == QUESTIONS_PER_IDENTITY + 1
    service.clock.advance(int(last.headers["retry-after"]))
    assert explain(service, mint_on_dev(service)).status == 200


def test_questions_and_refusals_share_one_budget_of_rows(service: Service) -> None:
    """D15: asking is no way to fill the disk."""
    for _ in range(15):
        service.exchange(mint_on_dev(service))
    for _ in range(QUESTIONS_PER_IDENTITY):
        explain(service, mint_on_dev(service))

    assert len([kind for kind, _ in service.audit() if kind.startswith("exchange.")]) == 20


def test_an_outage_is_no_explanation(service: Service, issuer: FakeIssuer) -> None:
    """D9, T96: 503 with Retry-After when keys or store cannot be had."""
    token = service.mint()
    issuer.misbehave(Fault.SERVER_ERROR)
    try:
        cold = explain(service, token)
    finally:
        issuer.behave()
    service.app.store.close()

    assert (cold.status, cold.json["error"]) == (503, "temporarily_unavailable")
    assert explain(service, token).status == 503
    assert PUBLIC_URL not in cold.json["error_description"]


def test_what_was_asked_about_is_kept_nowhere(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """S8, T97: no part of the id token in answer, log or database, whatever became of it."""
    tokens = [service.mint(), mint_on_dev(service), service.mint(aud="https://other.example")]
    with caplog.at_level("DEBUG", logger="keyless"):
        answers = [explain(service, token) for token in tokens]
    places = service.kept() + caplog.text + "".join(answer.body.decode() for answer in answers)

    for token in tokens:
        _header, payload, signature = token.split(".")
        assert not [part for part in (payload, signature) if part[:12] in places or part[-12:] in places]
        assert str(unverified_claims(token)["jti"]) not in places
