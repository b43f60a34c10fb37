from __future__ import annotations

import dataclasses
import sqlite3
import threading

import pytest

from keyless.errors import UnavailableError
from keyless.oidc.issuer import MAX_COUNTED_USES, ReplayMode
from keyless.server.store import Grant, Outcome, Refusal, Verdict
from keyless.server.store.connection import Connection
from tests.server.store.world import START, World


def verdicts(outcomes: list[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


def test_a_grant_leaves_one_claim_one_token_and_one_audit_row(world: World) -> None:
    """D14, T111: claim, token and audit row are committed together."""
    outcomes = world.store.commit([world.grant()])

    assert outcomes == [Outcome(Verdict.GRANTED, use=1)]
    assert world.counts() == {"claims": 1, "tokens": 1, "grants": 1}


def test_outcomes_stand_in_the_order_of_the_batch(world: World) -> None:
    """D17: each member of a mixed batch gets its own answer."""
    replayed = world.grant()
    world.store.commit([replayed])
    again = dataclasses.replace(replayed, jti="again")
    batch: list[Grant | Refusal] = [world.grant(), world.refusal(), again, world.grant()]

    outcomes = world.store.commit(batch)

    assert verdicts(outcomes) == [Verdict.GRANTED, Verdict.RECORDED, Verdict.REPLAYED, Verdict.GRANTED]


def test_an_empty_batch_is_nothing(world: World) -> None:
    """D17: the border case of a batch."""
    assert world.store.commit([]) == []


def test_a_token_is_exchanged_once(world: World) -> None:
    """D8, T45: the second exchange of one id token is refused, says when the first was, and leaves a refusal."""
    world.store.commit([world.grant(replay_key=b"k")])
    world.clock.now += 40
    outcome = world.store.commit([world.grant(replay_key=b"k")])[0]

    assert outcome == Outcome(Verdict.REPLAYED, first_used_at=START)
    assert world.counts() == {"claims": 1, "tokens": 1, "grants": 1}
    assert world.rows("SELECT kind, reason, jti FROM audit_event ORDER BY id DESC LIMIT 1") == [
        ("exchange.refused", "token_replayed", None)
    ]


def test_one_token_twice_in_one_batch_is_granted_once(world: World) -> None:
    """D8, T47: duplicates inside a batch are settled, not both passed."""
    outcomes = world.store.commit([world.grant(replay_key=b"k"), world.grant(replay_key=b"k")])

    assert verdicts(outcomes) == [Verdict.GRANTED, Verdict.REPLAYED]


def test_one_key_of_two_issuers_is_two_claims(world: World) -> None:
    """T48: the claim's key is the issuer and the token together."""
    other = world.add_publisher(
        issuer_url="https://gitlab.com",
        claims={"project_path": ["acme/train"]},
        pins={"project_id": "1", "namespace_id": "2"},
    )
    outcomes = world.store.commit([world.grant(replay_key=b"k"), world.grant(publisher=other, replay_key=b"k")])

    assert verdicts(outcomes) == [Verdict.GRANTED, Verdict.GRANTED]


def test_the_same_counted_token_eight_times_in_one_batch_is_eight_uses(world: World) -> None:
    """D8: a job that gets its token only once may use it several times, also at the same moment."""
    batch = [world.grant(replay_key=b"k", replay_mode=ReplayMode.COUNTED) for _ in range(8)]

    outcomes = world.store.commit(batch)

    assert outcomes == [Outcome(Verdict.GRANTED, use=n) for n in range(1, 9)]
    assert world.rows("SELECT n FROM replay_use ORDER BY n") == [(n,) for n in range(1, 9)]


def test_a_counted_token_ends_at_its_cap(world: World) -> None:
    """D8: at most 64 uses, within a batch and over batches."""
    grants = [world.grant(replay_key=b"k", replay_mode=ReplayMode.COUNTED) for _ in range(MAX_COUNTED_USES + 3)]

    outcomes = world.store.commit(grants[:40]) + world.store.commit(grants[40:])

    assert verdicts(outcomes) == [Verdict.GRANTED] * MAX_COUNTED_USES + [Verdict.REPLAYED] * 3
    assert world.counts()["tokens"] == MAX_COUNTED_USES


def test_a_token_that_was_counted_is_used_up_when_its_issuer_becomes_strict(world: World) -> None:
    """D8: the rule may change while a token is in use."""
    world.store.commit([world.grant(replay_key=b"k", replay_mode=ReplayMode.COUNTED)])

    assert verdicts(world.store.commit([world.grant(replay_key=b"k")])) == [Verdict.REPLAYED]


@pytest.mark.parametrize(
    "change",
    [
        *("version", "removed", "disabled", "expired", "issuer", "resource", "namespace", "everything"),
        *("other_resource", "other_issuer", "audience"),
    ],
)
def test_a_mint_fails_when_trust_changed_after_the_match(world: World, change: str) -> None:
    """D16, T91: what was read before the statement is not believed; nothing is claimed, a refusal is kept."""
    publisher = world.add_publisher(claims={"repository": ["acme/b"]}, expires_at=START + 100)
    grant = world.grant(publisher=publisher)
    match change:
        case "version":
            grant = dataclasses.replace(grant, publisher_version=publisher.version + 1)
        case "removed":
            world.admin.remove_publisher(publisher.id)
        case "disabled":
            world.admin.set_publisher_enabled(publisher.id, enabled=False)
        case "expired":
            grant = dataclasses.replace(grant, issued_at=START + 100)
        case "issuer":
            world.admin.set_issuer_enabled(publisher.issuer_url, enabled=False)
        case "resource":
            world.admin.set_resource_state(publisher.resource, "locked")
        case "namespace":
            world.admin.set_namespace_locked("acme", locked=True)
        case "everything":
            world.admin.set_all_locked(locked=True)
        case "other_resource":
            grant = dataclasses.replace(grant, resource="models/acme/other")
        case "other_issuer":
            grant = dataclasses.replace(grant, issuer_id=publisher.issuer_id + 1)
        case _:
            grant = dataclasses.replace(grant, audience="https://other.example.org")

    outcomes = world.store.commit([grant])

    assert verdicts(outcomes) == [Verdict.PUBLISHER_CHANGED]
    assert world.counts() == {"claims": 0, "tokens": 0, "grants": 0}
    assert world.rows("SELECT reason FROM audit_event ORDER BY id DESC LIMIT 1") == [("publisher_changed",)]


def hostile(world: World) -> dict[str, Grant]:
    return {
        "surrogate": world.grant(ci_subject="repo:\ud800"),
        "huge number": world.grant(expires_at=2**70),
        "duplicate id": world.grant(jti="token-1"),
        "wrong type": world.grant(scope=object()),
        "null": world.grant(scope=None),
        "strict column": world.grant(expires_at="not a number"),
        "surrogate in the contact": world.grant(user_agent="curl\udcff"),
        "claims not for json": world.grant(claims={"repository": object()}),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "surrogate",
        "huge number",
        "duplicate id",
        "wrong type",
        "null",
        "strict column",
        "surrogate in the contact",
        "claims not for json",
    ],
)
def test_a_hostile_member_of_a_batch_of_64_leaves_63_successes(world: World, kind: str) -> None:
    """D17: only the guilty one fails, everybody else has a claim, a token and an audit row; the chain holds."""
    world.store.commit([world.grant()])
    batch = [world.grant() for _ in range(63)]
    batch.insert(31, hostile(world)[kind])

    outcomes = world.store.commit(batch)

    expected = [Verdict.GRANTED] * 63
    expected.insert(31, Verdict.FAILED)
    assert verdicts(outcomes) == expected
    assert world.counts() == {"claims": 64, "tokens": 64, "grants": 64}
    assert world.store.verify_chain().intact


def test_a_failed_member_is_recorded_without_what_it_brought(world: World) -> None:
    """D15, T18: the refusal is in the audit, its hostile text is not."""
    world.store.commit([world.grant(ci_subject="repo:\ud800", claims={"repository": "acme/x"})])

    assert world.rows("SELECT kind, reason, ci_subject, data FROM audit_event ORDER BY id DESC LIMIT 1") == [
        ("exchange.failed", "storage_refused", "repo:\\ud800", None)
    ]


def test_claims_with_control_characters_are_kept_as_escapes(world: World) -> None:
    """T18: nothing in the audit moves a cursor or ends a line."""
    world.store.commit([world.grant(claims={"ref": "a\nb\x1b[2J\ud800"})])

    (data,) = world.rows("SELECT data FROM audit_event ORDER BY id DESC LIMIT 1")[0]
    assert data.isprintable()


def test_address_and_user_agent_stand_apart_from_the_chain(world: World) -> None:
    """D15: personal data can be deleted without breaking the chain."""
    world.store.commit([world.grant(address="192.0.2.7", user_agent="x" * 1000)])

    assert world.rows("SELECT address, length(user_agent) FROM audit_contact") == [("192.0.2.7", 256)]
    world.change("DELETE FROM audit_contact")
    assert world.store.verify_chain().intact


def test_last_use_is_written_once_a_minute_and_leaves_caches_alone(world: World) -> None:
    """T92: the last use is listed; D17: it costs no write per exchange."""
    before = world.store.trust_version()
    query = "SELECT last_used_at FROM publisher WHERE id = ?"
    seen = []
    for seconds in (0, 59, 60, 61):
        world.clock.now = START + seconds
        world.store.commit([world.grant(), world.grant()])
        seen.append(world.rows(query, world.publisher.id)[0][0] - START)

    assert seen == [0, 0, 60, 60]
    assert world.store.trust_version() == before


def test_a_full_disk_is_an_outage_for_the_batch(sqlite_world: World) -> None:
    """D9: the database's trouble is 503, not a refusal; when it has room again, the same id token works."""
    world = sqlite_world
    writer = world.store._write_connection
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    batch = [world.grant(claims={"ref": "x" * 400}) for _ in range(200)]
    writer.execute(f"PRAGMA max_page_count={pages}")

    with pytest.raises(UnavailableError):
        world.store.commit(batch)
    assert world.counts() == {"claims": 0, "tokens": 0, "grants": 0}
    writer.execute("PRAGMA max_page_count=1000000")
    outcomes = world.store.commit(batch)

    assert verdicts(outcomes) == [Verdict.GRANTED] * 200
    assert world.store.verify_chain().intact


def test_a_lock_held_too_long_is_an_outage(sqlite_world: World) -> None:
    """D9: another process may hold the database longer than we wait."""
    world = sqlite_world
    world.store._write_connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(world.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(UnavailableError):
            world.store.commit([world.grant()])
    finally:
        other.execute("ROLLBACK")
        other.close()

    assert verdicts(world.store.commit([world.grant()])) == [Verdict.GRANTED]


@pytest.mark.parametrize("reached_the_disk", [True, False])
def test_a_commit_of_unknown_outcome_is_settled_before_anything_else(world: World, reached_the_disk: bool) -> None:
    """D14, T50: nobody got these tokens, so they are revoked and the job's id token is free again."""

    def seal(connection: Connection) -> None:
        if reached_the_disk:
            connection.execute("COMMIT")
        raise world.store.database.errors[0]("disk I/O error")

    grant = world.grant()
    good, world.store._batches._seal = world.store._batches._seal, seal

    with pytest.raises(UnavailableError):
        world.store.commit([grant, world.grant()])
    world.store._batches._seal = good
    again = world.store.commit([dataclasses.replace(grant, jti="second try")])

    assert verdicts(again) == [Verdict.GRANTED]
    assert world.rows("SELECT jti FROM token WHERE revoked_at IS NULL") == [("second try",)]
    settled = world.rows("SELECT count(*) FROM audit_event WHERE kind = 'token.settled'")[0][0]
    assert settled == (2 if reached_the_disk else 0)
    assert world.store.verify_chain().intact


def test_threads_that_commit_together_lose_nothing(world: World) -> None:
    """T47: one counted token from many threads gets each number once."""
    outcomes: list[Outcome] = []

    def work() -> None:
        for _ in range(8):
            outcomes.extend(world.store.commit([world.grant(replay_key=b"k", replay_mode=ReplayMode.COUNTED)]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.use or 0 for outcome in outcomes) == list(range(1, 33))
    assert world.store.verify_chain().intact


@pytest.mark.parametrize("change", ["disabled", "expired", "version", "namespace"])
def test_several_grants_of_a_changed_publisher_all_fail(world: World, change: str) -> None:
    """D16, T91: what is asked once for grants alike is as exact as what is asked for each; others are not touched."""
    publisher = world.add_publisher(claims={"repository": ["acme/b"]}, expires_at=START + 100)
    batch = [world.grant(publisher=publisher) for _ in range(3)]
    others = [world.grant() for _ in range(2)]
    match change:
        case "version":
            batch[1] = dataclasses.replace(batch[1], publisher_version=publisher.version + 1)
        case "expired":  # one of them is later than the publisher's end
            batch[1] = dataclasses.replace(batch[1], issued_at=START + 100)
        case "disabled":
            world.admin.set_publisher_enabled(publisher.id, enabled=False)
        case "namespace":
            world.admin.set_namespace_locked("acme", locked=True)

    found = verdicts(world.store.commit([batch[0], others[0], batch[1], others[1], batch[2]]))

    good, changed = Verdict.GRANTED, Verdict.PUBLISHER_CHANGED
    assert (
        found
        == {
            "version": [good, good, changed, good, good],
            "expired": [good, good, changed, good, good],
            "disabled": [changed, good, changed, good, changed],
            "namespace": [changed] * 5,
        }[change]
    )
    assert world.counts()["claims"] == world.counts()["tokens"] == found.count(good)


def test_a_row_is_what_was_handed_over_whatever_is_absent(world: World) -> None:
    """D15: rows with and without address, agent and reason in one batch; the chain covers what is stored."""
    world.store.commit(
        [
            world.grant(address=None, user_agent=None),
            world.grant(address="192.0.2.1", user_agent=None),
            world.refusal(address=None, user_agent="curl/8"),
            world.grant(address="192.0.2.2", user_agent="hf/2"),
        ]
    )

    found = world.rows("SELECT address, user_agent FROM audit_contact ORDER BY sequence")
    assert found == [("192.0.2.1", None), (None, "curl/8"), ("192.0.2.2", "hf/2")]
    assert world.store.verify_chain().intact
