"""The mint of many grants in one statement: what `mint.py` does a row at a time, for the plain ones among them.

Whatever this statement does not grant - used before, changed meanwhile, no room - is left to `mint.py`, which finds out
why. So both engines have one judge, and this file only has to be right when it says yes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from keyless.oidc.issuer import MAX_COUNTED_USES, ReplayMode
from keyless.server.store.grants import Grant, Refusal
from keyless.server.store.postgres_arrays import bytes_array, number_array, text_array
from keyless.server.store.postgres_locks import TRUST_LOCK

if TYPE_CHECKING:
    from keyless.server.store.postgres import PostgresConnection

_SHARED_LOCK: Final = f"SELECT pg_advisory_xact_lock_shared({TRUST_LOCK})"
# In the order of the key, so that two replicas with the same publishers wait for each other and do not block for good.
_LOCK_PUBLISHERS: Final = "SELECT 1 FROM publisher WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE"
# D16, as in `plain_grants.py`: the joins and conditions of its `MINT`. `nth` counts the publisher's grants before this
# one in the batch as if all of them were minted: who finds no room by that may find some when it is counted exactly.
# `uses`: how often the id token may be used; `again`: which of its uses in this batch.
_MINT_MANY: Final = """
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::bytea[], $6::int[], $7::bigint[], $8::text[],
                       $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::int[])
  WITH ORDINALITY AS a(jti, publisher_id, version, issuer_id, replay_key, uses, replay_expires_at, resource,
                       scope, audience, ci_subject, issued_at, expires_at, cap, ord)
), good AS MATERIALIZED (
  SELECT a.*,
         row_number() OVER (PARTITION BY a.publisher_id ORDER BY a.ord) AS nth,
         row_number() OVER (PARTITION BY a.issuer_id, a.replay_key ORDER BY a.ord) AS again
  FROM asked a
  JOIN publisher p ON p.id = a.publisher_id
  JOIN issuer i ON i.id = p.issuer_id
  JOIN resource r ON r.id = p.resource_id
  JOIN namespace n ON n.id = r.namespace_id
  JOIN resource_server s ON s.id = p.resource_server_id
  JOIN meta k ON k.key = 'locked' AND k.value = 0
  WHERE p.version = a.version AND p.enabled = 1 AND (p.expires_at IS NULL OR p.expires_at > a.issued_at)
    AND i.id = a.issuer_id AND i.enabled = 1 AND r.path = a.resource AND n.state = 'active' AND s.audience = a.audience
    AND r.state = 'active' AND p.pending_until IS NULL
), live AS MATERIALIZED (
  SELECT c.publisher_id, (
    SELECT count(*) FROM (
      SELECT 1 FROM token t WHERE t.publisher_id = c.publisher_id AND t.expires_at > c.at AND t.revoked_at IS NULL
      LIMIT c.cap) AS found) AS tokens
  FROM (SELECT publisher_id, min(issued_at) AS at, max(cap) AS cap FROM good WHERE cap > 0 GROUP BY publisher_id) AS c
), claim AS (
  INSERT INTO replay_use (issuer_id, replay_key, n, jti, used_at, expires_at)
  SELECT g.issuer_id, g.replay_key, u.used + g.again, g.jti, g.issued_at, g.replay_expires_at
  FROM good g
  LEFT JOIN live l ON l.publisher_id = g.publisher_id
  CROSS JOIN LATERAL (
    SELECT CASE WHEN g.uses = 1 THEN 0 ELSE
      (SELECT coalesce(max(n), 0) FROM replay_use WHERE issuer_id = g.issuer_id AND replay_key = g.replay_key)
    END AS used) AS u
  WHERE u.used + g.again <= g.uses AND (g.cap = 0 OR l.tokens + g.nth <= g.cap)
  ORDER BY g.issuer_id, g.replay_key, g.again
  ON CONFLICT (issuer_id, replay_key, n) DO NOTHING
  RETURNING jti, n
), minted AS (
  INSERT INTO token (jti, publisher_id, publisher_version, issuer_id, resource, scope, audience, ci_subject,
                     issued_at, expires_at)
  SELECT g.jti, g.publisher_id, g.version, g.issuer_id, g.resource, g.scope, g.audience, g.ci_subject,
         g.issued_at, g.expires_at
  FROM good g JOIN claim c ON c.jti = g.jti
  ORDER BY g.ord
)
SELECT jti, n FROM claim
"""


def open_exchange(connection: PostgresConnection, batch: Sequence[Grant | Refusal]) -> Mapping[str, int]:
    """Open the transaction of a batch, and mint in one statement what needs no further thought.

    Args:
        connection: Of the writer, with no transaction open.
        batch: All members, in order.

    Returns:
        Token id -> which use of the id token it was, of the members that are minted.
    """
    plain = [member for member in batch if isinstance(member, Grant) and _is_plain(member)]
    if not plain:
        connection.execute(f"BEGIN; {_SHARED_LOCK}")
        return {}
    values = (
        text_array([g.jti for g in plain]),
        text_array([g.publisher_id for g in plain]),
        number_array([g.publisher_version for g in plain]),
        number_array([g.issuer_id for g in plain]),
        bytes_array([g.replay_key for g in plain]),
        number_array([MAX_COUNTED_USES if g.replay_mode is ReplayMode.COUNTED else 1 for g in plain]),
        number_array([g.replay_expires_at for g in plain]),
        text_array([g.resource for g in plain]),
        text_array([g.scope for g in plain]),
        text_array([g.audience for g in plain]),
        text_array([g.ci_subject for g in plain]),
        number_array([g.issued_at for g in plain]),
        number_array([g.expires_at for g in plain]),
        number_array([g.max_live_tokens or 0 for g in plain]),
    )
    capped = text_array(sorted({g.publisher_id for g in plain if g.max_live_tokens}))
    rows = connection.together(("BEGIN", ()), (_SHARED_LOCK, ()), (_LOCK_PUBLISHERS, (capped,)), (_MINT_MANY, values))
    return dict(rows)


def _is_plain(grant: Grant) -> bool:
    return not (grant.first_use_pins or grant.pending or grant.also or grant.max_grants_per_hour)
