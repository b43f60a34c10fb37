from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from keyless.cli.main import main
from keyless.server.store import open_store
from keyless.server.store.schema import SCHEMA_VERSION
from tests.server.store.first_schema import fill, migrate
from tests.server.store.world import World
from tests.support.postgres import PostgresServer


def test_an_upgrade_says_from_where_to_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D4: and a second one that there is nothing to do."""
    from keyless.server.store.database import open_database

    path = tmp_path / "keyless.db"
    migrate(open_database(path), "0001")
    fill(open_database(path))

    assert main(["db", "upgrade", "--db", str(path)]) == 0
    assert f"0001 -> {SCHEMA_VERSION}" in capsys.readouterr().out
    assert main(["db", "upgrade", "--db", str(path)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_check_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D15: exit status 1, and each problem named."""
    world = World(tmp_path / "keyless.db")
    world.store.commit([world.grant()])
    assert main(["db", "check", "--audit", "--db", str(world.location)]) == 0
    assert "as it should be" in capsys.readouterr().out
    world.change("DROP TRIGGER audit_event_no_update")
    world.change("UPDATE audit_event SET reason = 'x'")

    assert main(["db", "check", "--audit", "--db", str(world.location), "--json"]) == 1
    assert "was changed after it was written" in str(json.loads(capsys.readouterr().out)["problems"])
    world.close()


def test_backup_restore_and_copy_go_round(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """D4: SQLite to a backup, to PostgreSQL, to a backup, to SQLite; the same audit at the end."""
    world = World(tmp_path / "keyless.db")
    world.store.commit([world.grant() for _ in range(20)])
    before = world.rows("SELECT hash FROM audit_event ORDER BY id")
    world.close()
    url = postgres.create(template="template0").reveal()
    second, third = tmp_path / "second.db", tmp_path / "third.db"

    assert main(["db", "copy", "--db", str(world.location), "--to", url]) == 0
    assert main(["db", "backup", str(second), "--db", url]) == 0
    assert main(["db", "restore", str(second), "--db", str(third)]) == 0
    with open_store(third) as store, closing(store.database.connect()) as connection:
        assert connection.execute("SELECT hash FROM audit_event ORDER BY id").fetchall() == before
    said = capsys.readouterr()
    assert "all counted" in said.out
    assert "key-encryption key is not in it" in said.err
    assert main(["db", "copy", "--db", str(world.location), "--to", url]) == 2
    assert main(["db", "restore", str(second), "--db", str(third)]) == 2


def test_the_services_role_serves_and_cannot_rewrite_the_audit(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """D15, T108: the printed grants are enough to exchange, revoke and administer, and not to change an audit row."""
    url = postgres.create(template="template0")
    postgres.execute("CREATE ROLE keyless_server LOGIN")
    server_url = type(url)(url.reveal().replace("owner@", "keyless_server@"))
    assert main(["db", "check", "--db", server_url.reveal()]) == 1  # there is no schema, and it cannot make one
    assert main(["trust", "list", "--db", server_url.reveal()]) == 2
    assert "keyless db upgrade" in capsys.readouterr().err

    assert main(["db", "upgrade", "--db", url.reveal(), "--server-role", "keyless_server"]) == 0
    world = World(server_url)
    world.store.commit([world.grant(address="192.0.2.1"), world.refusal()])
    world.store.revoke_token("token-1", reason="test")
    world.store.purge(world.clock() + 10**6)

    assert world.store.verify_chain().intact
    for statement in (
        "UPDATE audit_event SET reason = 'x'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "DROP TABLE audit_event",
    ):
        with pytest.raises(world.store.database.errors, match=r"permission denied|must be owner"):
            world.change(statement)
    world.close()
    assert main(["db", "check", "--db", server_url.reveal()]) in {0, 1}  # the tests' server does not sync
    assert "can only add them" in capsys.readouterr().out


def test_grants_are_printed_for_a_plain_name_only(capsys: pytest.CaptureFixture[str]) -> None:
    """S8: what is printed is meant to be run."""
    assert main(["db", "grants", "keyless_server"]) == 0
    assert "GRANT SELECT, INSERT ON audit_event TO keyless_server;" in capsys.readouterr().out
    assert main(["db", "grants", 'x"; DROP TABLE token; --']) == 2


def test_a_password_in_a_url_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """S8, T97: neither in an error nor in a report."""
    for where in ("postgresql://u:s3cr3t@127.0.0.1:1/keyless", "postgresql://127.0.0.1:1/k?password=s3cr3t"):
        assert main(["db", "check", "--db", where]) == 5
        said = capsys.readouterr()
        assert "s3cr3t" not in said.out + said.err
