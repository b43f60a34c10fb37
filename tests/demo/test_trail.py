"""The audit trail is followed without missing or repeating a row."""

from __future__ import annotations

from typing import Any

from keyless.demo.trail import Decision, Trail


def event(sequence: int, **more: object) -> dict[str, Any]:
    """Return an event as `keyless audit list --json` prints it."""
    return {"writer": "w_1", "sequence": sequence, "at": 1000, "kind": "token.granted", "data": {}, **more}


def test_news_are_told_once_whatever_their_order() -> None:
    """Two writers may share a second, so a new row can stand before an old one."""
    events = [event(1), event(2)]
    trail = Trail(lambda: events)
    first = trail.news()
    events = [event(1, writer="w_0", kind="issuer.added"), *events]
    second = trail.news()

    assert [decision.kind for decision in first] == ["token.granted"] * 2
    assert [decision.kind for decision in second] == ["issuer.added"]
    assert len(trail.decisions) == 3
    assert trail.news() == []


def test_a_grant_says_what_for_how_long_and_by_whom() -> None:
    """A newcomer reads a decision, not a row."""
    decision = Decision.of(
        event(1, resource="models/a/b", publisher_id="pub_1", data={"scope": "read write", "expires_at": 4600})
    )

    assert decision.sentences() == ["granted: read, write on models/a/b for 60 minutes, by pub_1"]


def test_a_refusal_says_why() -> None:
    """D12: the differences are the service's own words."""
    decision = Decision.of(
        event(1, kind="exchange.refused", reason="no_matching_publisher", data={"details": ["branch is 'x'"]})
    )

    assert decision.sentences()[1] == "because branch is 'x'"
    assert "(no_matching_publisher)" in decision.row()
