from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from keyless.server.store import tokens
from tests.server.store.world import World


def mint(world: World) -> str:
    grant = world.grant()
    world.store.commit([grant])
    return grant.jti


def live(world: World, jti: str) -> bool:
    state = world.store.token_state(jti)
    return state is not None and state.live


def test_a_fresh_token_is_live_and_says_where_it_came_from(world: World) -> None:
    """V20, D5: the state names publisher, resource, audience and the CI's issuer and subject."""
    state = world.store.token_state(mint(world))

    assert state is not None
    assert state.live
    assert (state.publisher_id, state.resource, state.ci_issuer) == (
        world.publisher.id,
        "models/acme/model",
        "https://token.actions.githubusercontent.com",
    )


def test_an_unknown_token_has_no_state(world: World) -> None:
    """D5: what was never issued is nothing."""
    assert world.store.token_state("unknown") is None


@pytest.mark.parametrize(
    "change",
    [
        *("revoked", "expired", "removed", "disabled", "issuer off"),
        *("resource locked", "namespace locked", "all locked"),
    ],
)
def test_a_token_dies_with_any_part_of_its_trust(world: World, change: str) -> None:
    """V20, T91, T109, D16: at the next question, whatever was withdrawn."""
    jti = mint(world)
    assert live(world, jti)
    match change:
        case "revoked":
            assert world.store.revoke_token(jti, reason="test")
        case "expired":
            world.clock.now += 3600
        case "removed":
            world.admin.remove_publisher(world.publisher.id)
        case "disabled":
            world.admin.set_publisher_enabled(world.publisher.id, enabled=False)
        case "issuer off":
            world.admin.set_issuer_enabled(world.publisher.issuer_url, enabled=False)
        case "resource locked":
            world.admin.set_resource_state(world.resource, "locked")
        case "namespace locked":
            world.admin.set_namespace_locked("acme", locked=True)
        case _:
            world.admin.set_all_locked(locked=True)

    assert not live(world, jti)


def test_a_token_dies_when_its_publisher_expires(world: World) -> None:
    """V20: the end of trust is the end of what came from it."""
    publisher = world.add_publisher(claims={"repository": ["acme/s"]}, expires_at=int(world.clock()) + 60)
    grant = world.grant(publisher=publisher)
    world.store.commit([grant])
    world.clock.now += 60

    assert not live(world, grant.jti)


def test_revocation_is_recorded_and_happens_once(world: World) -> None:
    """T108: the audit row comes with the revocation; the second call changes nothing."""
    jti = mint(world)

    assert world.store.revoke_token(jti, reason="leaked", request_id="r-1")
    assert not world.store.revoke_token(jti, reason="again")
    assert not world.store.revoke_token("unknown", reason="leaked")
    assert world.rows("SELECT jti, reason, request_id FROM audit_event WHERE kind = 'token.revoked'") == [
        (jti, "leaked", "r-1")
    ]
    assert world.store.verify_chain().intact


def test_a_claim_outlives_the_id_token_and_then_goes(world: World) -> None:
    """T46, T51: never before its id token is refused for its age, and not for ever."""
    grant = world.grant(replay_key=b"k")
    world.store.commit([grant])
    world.store.purge(grant.replay_expires_at)
    kept = world.counts()["claims"]
    gone = world.store.purge(grant.replay_expires_at + 1)

    assert (kept, gone, world.counts()["claims"]) == (1, 1, 0)


def test_a_token_row_stays_for_a_day_after_its_end(world: World) -> None:
    """T51: rows are deleted, and not while somebody may still ask about them."""
    grant = world.grant()
    world.store.commit([grant])
    world.store.purge(grant.expires_at + tokens.TOKEN_ROW_GRACE_SECONDS)
    kept = world.counts()["tokens"]
    world.store.purge(grant.expires_at + tokens.TOKEN_ROW_GRACE_SECONDS + 1)

    assert (kept, world.counts()["tokens"]) == (1, 0)


def test_a_purge_goes_through_more_than_one_batch(world: World) -> None:
    """T51: many rows are deleted a few at a time."""
    count = tokens.PURGE_ROWS + 50
    for _ in range(5):
        world.store.commit([world.grant() for _ in range(count // 5)])

    assert world.store.purge(world.clock() + 400) == count
    assert world.counts()["claims"] == 0


def test_a_checkpoint_brings_the_log_home_and_keeps_the_rows(world: World) -> None:
    """D17: the checkpoint happens aside."""
    jti = mint(world)
    world.store.checkpoint()

    assert live(world, jti)
    assert world.store.healthy()


def test_a_checkpoint_follows_each_writing(sqlite_world: World, tmp_path: Path) -> None:
    """D17: what it has brought home is in the file without its log."""
    kept = []
    for number in (1, 2):
        mint(sqlite_world)
        os.utime(tmp_path / "keyless.db-wal", ns=(0, number))  # the clock of files is coarser than two writings
        sqlite_world.store.checkpoint()
        shutil.copy(tmp_path / "keyless.db", tmp_path / "alone.db")
        with closing(sqlite3.connect(tmp_path / "alone.db")) as alone:
            kept.append(alone.execute("SELECT count(*) FROM token").fetchone()[0])

    assert kept == [1, 2]


def test_a_closed_store_is_not_healthy(world: World) -> None:
    """D9: readiness tells the truth."""
    world.store.close()

    assert not world.store.healthy()


def test_the_audit_cannot_be_rewritten(world: World) -> None:
    """D15, T108: the database itself refuses."""
    mint(world)
    for statement in ("UPDATE audit_event SET reason = 'x'", "DELETE FROM audit_event"):
        with pytest.raises(world.store.database.errors, match="append-only"):
            world.change(statement)
