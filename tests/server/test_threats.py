"""Threats to the whole service that no other test of a single room proves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyless.errors import ConfigurationError
from keyless.testing import FakeIssuer, Fault
from tests.server.service import Service
from tests.support.asgi import ask


def granted(service: Service) -> dict[str, Any]:
    """Return the audit row of the last token, its free part read."""
    columns = "publisher_id, issuer_id, resource, ci_subject, request_id, jti, data"
    row = service.rows(f"SELECT {columns} FROM audit_event WHERE kind = 'token.granted' ORDER BY id DESC")[0]
    found = dict(zip(columns.split(", "), row, strict=True))
    return {**found, **json.loads(found["data"])}


def test_what_matched_is_kept_with_the_token(service: Service) -> None:
    """M08: the publisher, every claim that it compared, and the commit, run, ref and person behind the job."""
    publisher = service.administration.publishers()[0]
    answer = service.exchange(service.mint(sha="c0ffee", run_id="77", actor="alice", ref="refs/heads/main"))
    row = granted(service)

    assert answer.status == 200
    assert (row["publisher_id"], row["resource"]) == (publisher.id, "models/acme/model")
    for claim in ("repository", "repository_id", "repository_owner_id", "workflow_ref", "ref", "event_name"):
        assert row["claims"][claim]
    assert {name: row["claims"][name] for name in ("sha", "run_id", "actor")} == {
        "sha": "c0ffee",
        "run_id": "77",
        "actor": "alice",
    }
    assert {*(c.claim for c in publisher.conditions)} - {"branch", "workflow"} <= {*row["claims"]}


@pytest.mark.parametrize(
    "subject", ["anything", "repo:acme/widgets:ref:refs/heads/main", "repo:evil/repo:ref:refs/heads/main", "a:b:c:d"]
)
def test_a_subject_that_its_repository_composed_decides_nothing(service: Service, subject: str) -> None:
    """T65, T66, T67: its template may leave out the repository or the ref, or say another's."""
    assert service.exchange(service.mint(sub=subject)).status == 200
    elsewhere = service.exchange(service.mint(sub=subject, ref="refs/heads/dev"))
    stranger = service.exchange(service.mint(sub=subject, repository_id="1"))

    assert {elsewhere.json["reason"], stranger.json["reason"]} == {"no_matching_publisher"}
    with pytest.raises(ConfigurationError):
        service.add_publisher("acme/other", claims={"repository": ["acme/widgets"], "sub": [subject]})


@pytest.mark.parametrize(
    ("claim", "wanted", "other"),
    [
        pytest.param("run_attempt", "1", "2", id="T76 a re-run"),
        pytest.param("runner_environment", "github-hosted", "self-hosted", id="T77 a runner of one's own"),
        pytest.param("sha", "c0ffee", "decaf", id="T76 another commit than the reviewed one"),
    ],
)
def test_a_publisher_can_refuse_reruns_and_runners(service: Service, claim: str, wanted: str, other: str) -> None:
    """T76, T77: a re-run brings an old workflow back with a fresh token; a runner of one's own may not be clean."""
    service.add_publisher(
        "datasets/acme/data", claims={"repository": ["acme/widgets"], "branch": ["main"], claim: [wanted]}
    )

    assert service.exchange(service.mint(**{claim: wanted}), resource="datasets/acme/data").status == 200
    refused = service.exchange(service.mint(**{claim: other}), resource="datasets/acme/data")
    assert refused.json["reason"] == "no_matching_publisher"
    assert claim in refused.json["error_description"]


@pytest.mark.parametrize("text", ["main|dev", "^main$", "startsWith(ref)", "claims.ref == 'x'", "${ref}", "main; true"])
def test_there_is_no_policy_language(service: Service, text: str) -> None:
    """T68, T87, D11: what looks like an expression is compared letter by letter."""
    service.add_publisher("acme/other", claims={"repository": ["acme/widgets"], "branch": [text]})
    answers = []
    for ref in (f"refs/heads/{name}" for name in ("main", "x", text)):
        file = f"acme/widgets/.github/workflows/train.yml@{ref}"
        token = service.mint(ref=ref, workflow_ref=file, job_workflow_ref=file)
        answers.append(service.exchange(token, resource="acme/other"))

    assert [answer.status for answer in answers] == [400, 400, 200]


def test_there_are_three_ways_to_compare_and_no_more(service: Service) -> None:
    """T87, D11: also where somebody writes into the store."""
    with pytest.raises(Exception, match="operator"):
        service.rows("UPDATE condition SET operator = 'cel'")


def test_no_answer_about_a_token_is_kept_by_a_cache(service: Service, issuer: FakeIssuer) -> None:
    """T103, V19: granted, refused, malformed, explained, down."""
    token = service.mint()
    answers = [
        service.exchange(token),
        service.exchange(token),
        service.exchange("x"),
        service.post({}, "/oauth/explain"),
    ]
    answers.append(ask(service.app.public, "POST", "/oauth/revoke", body=b"token=x",
                       headers={"Content-Type": "application/x-www-form-urlencoded"}))  # fmt: skip
    answers.append(ask(service.app.public, "GET", "/oauth/token"))
    service.app._jwks.retain([])
    issuer.misbehave(Fault.SERVER_ERROR)
    try:
        answers.append(service.exchange())
    finally:
        issuer.behave()

    assert [answer.status for answer in answers] == [200, 400, 400, 400, 200, 405, 503]
    for answer in answers:
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
