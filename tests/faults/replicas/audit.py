"""Counting afterwards: what jobs hold against what the database has."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from keyless.jose.jwk import KeySet
from keyless.server.audit.verify import verify_chain
from keyless.server.database_url import DatabaseLocation
from keyless.server.services.checkpoint_key import load_checkpoint_key
from keyless.server.settings import StoreSettings
from keyless.server.store.database import open_database
from tests.faults.replicas.load import Ledger


@dataclass(frozen=True)
class Count:
    """What was counted; `problems` says what is not as it must be."""

    line: str
    problems: tuple[str, ...]


def count(ledger: Ledger, database: DatabaseLocation, total: int, folder: Path) -> Count:
    """Compare the jobs' ledger with the database's rows."""
    settings = StoreSettings(database=database, checkpoint_key_file=folder / "checkpoint.key")
    checkpoint_key = load_checkpoint_key(settings)
    assert checkpoint_key is not None
    store = open_database(database)
    with closing(store.connect()) as connection:

        def per_jti(query: str) -> dict[str, int]:
            return {str(jti): int(number) for jti, number in connection.execute(query).fetchall()}

        claims = per_jti("SELECT jti, count(*) FROM replay_use GROUP BY jti")
        tokens = per_jti("SELECT jti, count(*) FROM token WHERE revoked_at IS NULL GROUP BY jti")
        grants = per_jti("SELECT jti, count(*) FROM audit_event WHERE kind = 'token.granted' GROUP BY jti")
        settled = per_jti("SELECT jti, count(*) FROM audit_event WHERE kind = 'token.settled' GROUP BY jti")
        (keys,) = connection.execute("SELECT count(*) FROM replay_use WHERE n > 1").fetchone()
        chains = verify_chain(connection, keys=KeySet.of([checkpoint_key.public_key()]))
    held = ledger.held
    one_each = sum(claims.get(j) == tokens.get(j) == grants.get(j) == 1 for j in held)
    problems = []
    if len(held) != total:
        problems.append(f"{len(held)} of {total} exchanges were made, {ledger.gave_up} jobs gave up")
    if one_each != len(held) or len(set(held)) != len(held):
        problems.append(f"only {one_each} of {len(held)} tokens that left have one claim, one token and one audit row")
    if ledger.twice:
        problems.append(f"{ledger.twice} id tokens were exchanged twice")
    if keys:
        problems.append(f"{keys} claims are a second use")
    if claims.keys() != tokens.keys() or grants.keys() != tokens.keys() | settled.keys():
        problems.append(f"{len(claims)} claims, {len(tokens)} tokens, {len(grants)} grants, {len(settled)} settled")
    if set(held) & settled.keys():
        problems.append("a token that left was settled")
    if not chains.intact:
        problems.append(f"audit: {chains.problems[:3]}")
    if ledger.refusals:
        problems.append(f"{len(ledger.refusals)} refusals, for example {ledger.refusals[0]}")
    answers = ", ".join(f"{number} x {status}" for status, number in sorted(ledger.answers.items()))
    line = (
        f"{len(held)} tokens left, each with one claim, token and audit row: {one_each};"
        f" undelivered {len(tokens) - len(held)}, settled {len(settled)};"
        f" {ledger.sent_twice} id tokens sent to two replicas at once, granted twice {ledger.twice};"
        f" {chains.writers} chains and {chains.checkpoints} checkpoints whole: {chains.intact};"
        f" answers {answers}; slowest 503 {ledger.slowest:.1f} s"
    )
    return Count(line, tuple(problems))
