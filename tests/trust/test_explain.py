"""What is said of a publisher's verdict: everything to its owner, to the holder of a token what is its own."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from keyless.issuers import profile_for
from keyless.oidc.issuer import Issuer
from keyless.testing.claims import DROP, github_claims
from keyless.trust.explain import FIRST_USE, Explanation, Finding, explain_claims, explain_verdict, wire_view
from keyless.trust.publisher import Pin, Publisher
from tests.trust.identities import (
    GITHUB_COM,
    IDS,
    NOW,
    OTHER_GITHUB,
    is_exactly,
    is_like,
    proven,
    publisher,
    seen,
    verdict,
)

WAITING = (Pin("repository_id", None, lapses_at=NOW + 60), Pin("repository_owner_id", None, lapses_at=NOW + 60))
SECRET = "release-7f3a"


def explained(
    *records: Publisher, claims: Mapping[str, object] | None = None, issuer: Issuer = GITHUB_COM
) -> Explanation:
    """Explain bare claims, by default those of a push to main."""
    claims = github_claims() if claims is None else claims
    return explain_claims(records, claims, issuer, profile_for(issuer.kind), now=NOW)


def test_every_demand_has_one_finding() -> None:
    """D12: pins and conditions in the publisher's order, with expected and received."""
    record = publisher(is_exactly("branch", "main"), is_like("ref", "refs/tags/v*"), is_exactly("environment", "prod"))
    found = explain_verdict(verdict(record), seen(proven()))

    assert found.findings == (
        Finding("repository_id", True, "456789", "456789"),
        Finding("repository_owner_id", True, "123456", "123456"),
        Finding("branch", True, "main", "'main'"),
        Finding("ref", False, "refs/heads/main", "a match of 'refs/tags/v*'"),
        Finding("environment", False, None, "'prod'"),
    )
    assert found.differing == ("ref", "environment")


@pytest.mark.parametrize(
    ("record", "claims"),
    [
        pytest.param(publisher(), {}, id="accepted"),
        pytest.param(publisher(is_exactly("branch", "dev", "main")), {}, id="one of"),
        pytest.param(publisher(enabled=False), {}, id="disabled"),
        pytest.param(publisher(expires_at=NOW), {}, id="expired"),
        pytest.param(publisher(pins=()), {}, id="nothing pinned"),
        pytest.param(publisher(pins=WAITING), {}, id="waits, and no name given"),
        pytest.param(publisher(is_exactly("repository", "acme/widgets"), pins=WAITING), {}, id="waits"),
        pytest.param(publisher(pins=(Pin("repository_id", None, lapses_at=NOW), IDS[1])), {}, id="lapsed"),
        pytest.param(publisher(issuer=OTHER_GITHUB), {}, id="another issuer"),
        pytest.param(publisher(), {"event_name": "pull_request_target"}, id="guard"),
        pytest.param(publisher(is_exactly("branch", "x"), is_exactly("branch", "y")), {}, id="one claim twice"),
    ],
)
def test_the_findings_say_what_the_verdict_says(record: Publisher, claims: dict[str, object]) -> None:
    """D12: an explanation compares nothing itself, so it cannot contradict the exchange."""
    token = proven(claims=claims)
    judged = verdict(record, token)
    found = explain_verdict(judged, seen(token))

    assert found.accepted == judged.accepted == all(finding.matches for finding in found.findings)
    assert set(found.differing) == {mismatch.claim for mismatch in judged.mismatches}
    assert sum(not finding.matches for finding in found.findings) == len(judged.mismatches)


def test_a_first_use_is_shown_as_what_it_is() -> None:
    """D10: any id will do, once."""
    record = publisher(is_exactly("repository", "acme/widgets"), pins=WAITING)
    found = explain_verdict(verdict(record), seen(proven()))

    assert [finding.expected for finding in found.findings[:2]] == [FIRST_USE, FIRST_USE]


# --- the wire --------------------------------------------------------------------------------------------------------


def test_the_wire_shows_the_callers_values_and_no_expected_ones() -> None:
    """D12, T95: not as a value, not in a word."""
    token = proven(repository="acme/widgets")
    record = publisher(is_exactly("branch", SECRET), is_like("tag", f"{SECRET}-*"), is_exactly("environment", SECRET))
    shown = wire_view([verdict(record, token)], seen(token))

    assert [(item["claim"], item["matches"], item["yours"]) for item in _claims(shown)] == [
        ("repository_id", True, "456789"),
        ("repository_owner_id", True, "123456"),
        ("branch", False, "main"),
        ("tag", False, None),
        ("environment", False, None),
    ]
    assert SECRET not in json.dumps(shown)


@pytest.mark.parametrize(
    ("record", "claims"),
    [
        pytest.param(publisher(), {"repository_id": "1"}, id="sibling repository"),
        pytest.param(publisher(), {"repository_owner_id": "1"}, id="another owner"),
        pytest.param(publisher(), {"repository_id": "1", "repository_owner_id": "2"}, id="taken over name"),
        pytest.param(publisher(pins=IDS[:1]), {}, id="one id pinned of two"),
        pytest.param(publisher(pins=()), {}, id="no id pinned"),
        pytest.param(publisher(is_exactly("repository", "acme/widgets"), pins=WAITING), {}, id="waiting"),
        pytest.param(publisher(issuer=OTHER_GITHUB), {}, id="another issuer"),
        pytest.param(publisher(pins=(*IDS, Pin("enterprise_id", "5"))), {}, id="one more pin"),
    ],
)
def test_who_does_not_own_the_pinned_ids_sees_nothing(record: Publisher, claims: dict[str, object]) -> None:
    """D12, T94, T112: every id that must be pinned is, and is the token's; or the publisher is not there."""
    token = proven(claims=claims)

    assert wire_view([verdict(record, token)], seen(token)) == []


def test_a_claim_with_two_demands_matches_when_both_do() -> None:
    """D12: one line for each claim on the wire."""
    token = proven()
    record = publisher(is_exactly("repository_id", "456789"), is_exactly("branch", "main"), is_like("branch", "v*"))
    claims = {str(item["claim"]): item["matches"] for item in _claims(wire_view([verdict(record, token)], seen(token)))}

    assert claims == {"repository_id": True, "repository_owner_id": True, "branch": False}


def _claims(shown: list[dict[str, object]]) -> list[dict[str, object]]:
    (one,) = shown
    claims = one["claims"]
    assert isinstance(claims, list)
    return claims


# --- bare claims -----------------------------------------------------------------------------------------------------


def test_bare_claims_are_judged_like_a_token() -> None:
    """D12: the same verdicts, for somebody who may see everything."""
    accepting, refusing = publisher(id="pub-a"), publisher(is_exactly("branch", "dev"), id="pub-b")
    found = explained(refusing, accepting)

    assert (found.accepted, found.reason) == (True, "accepted")
    assert [item.publisher.id for item in found.publishers] == ["pub-a", "pub-b"]
    assert explained(refusing).reason == "no_matching_publisher"
    assert explained().reason == "no_matching_publisher"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"run_id": DROP}, "claim_missing", id="absent"),
        pytest.param({"repository_id": ""}, "claim_missing", id="empty"),
        pytest.param({"repository_id": ["456789"]}, "claim_invalid", id="a list"),
        pytest.param({"environment": {}}, "claim_invalid", id="an optional one of another type"),
        pytest.param({"sub": DROP}, "claim_missing", id="no subject"),
    ],
)
def test_claims_that_no_token_may_carry_are_refused(claims: dict[str, object], reason: str) -> None:
    """V10, V14: so that a table of claims does not promise what the service refuses."""
    found = explained(publisher(), claims=github_claims(**claims))

    assert (found.accepted, found.reason) == (False, reason)


def test_an_issuer_that_is_switched_off_accepts_nothing() -> None:
    """T109."""
    off = Issuer(id=GITHUB_COM.id, url=GITHUB_COM.url, kind="github", enabled=False)

    assert explained(publisher(), issuer=off).reason == "issuer_unknown"


def test_a_publisher_of_another_issuer_differs_in_its_issuer_alone() -> None:
    """T35: its other claims would be read with the wrong profile."""
    found = explained(publisher(is_exactly("branch", "dev"), issuer=OTHER_GITHUB))

    assert found.publishers[0].findings == (Finding("iss", False, GITHUB_COM.url, OTHER_GITHUB.url),)


def test_a_locked_resource_is_named_as_the_reason() -> None:
    """T91: a publisher that would accept and that no exchange looks at."""
    found = explain_claims(
        [publisher()], github_claims(), GITHUB_COM, profile_for("github"), now=NOW, in_force=frozenset()
    )

    assert not found.accepted
    assert found.publishers[0].differing == ("resource",)
