from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.audit.verify import ChainReport
from keyless.server.database_url import DatabaseLocation
from keyless.server.store import Verdict, migrations, open_store
from keyless.server.store.database import open_database
from keyless.server.store.engine import admin_engine
from keyless.server.store.schema import SCHEMA_VERSION
from keyless.server.store.tables import metadata
from tests.server.store.first_schema import fill, migrate
from tests.server.store.world import World
from tests.support.postgres import PostgresServer


def test_a_new_database_is_private_to_its_owner(tmp_path: Path) -> None:
    """D21: nobody else reads it, its log included."""
    path = tmp_path / "keyless.db"
    with open_store(path) as store:
        store.ensure_default_resource_server("https://hub.example.org", "keyless")

        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}


def test_the_migrations_make_the_tables_of_the_code(location: DatabaseLocation) -> None:
    """D4: what the migrations leave and what administration expects are the same, on both engines."""
    open_store(location).close()
    engine = admin_engine(open_database(location))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})

        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_known_version_is_the_newest_migration() -> None:
    """D4: a release that adds a migration cannot forget to name it."""
    script = ScriptDirectory(str(Path(str(migrations.__file__)).parent))

    assert script.get_current_head() == SCHEMA_VERSION


def test_every_table_is_strict(tmp_path: Path) -> None:
    """V10: a value of the wrong type is refused by the database too."""
    path = tmp_path / "keyless.db"
    open_store(path).close()
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    loose = {name for name, strict in rows if not strict} - {"alembic_version", "sqlite_schema"}
    connection.close()

    assert loose == set()


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    """D4: an old release does not guess at a schema it does not know."""
    path = tmp_path / "keyless.db"
    open_store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.execute("UPDATE meta SET value = 9999 WHERE key = 'oldest_schema'")
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match="newer"):
        open_store(path)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_first_schema_is_upgraded_with_what_is_in_it(tmp_path: Path, postgres: PostgresServer, engine: str) -> None:
    """D4: an upgrade keeps every row and the chains, and the service goes on with it."""
    where: DatabaseLocation = tmp_path / "keyless.db"
    if engine == "postgresql":
        where = postgres.create(template="template0")
    database = open_database(where)
    migrate(database, "0001")
    fill(database)

    with open_store(where) as store:
        issuer = store.issuer_by_url("https://token.actions.githubusercontent.com")
        assert issuer is not None
        found = store.publishers(parse_resource("acme/model"), issuer.id)
        assert [(p.id, p.pins[0].value, p.conditions[0].values) for p in found] == [("pub_old", "11", ("acme/train",))]
        assert store.verify_chain() == ChainReport(1, 1, ())
        state = store.token_state("old")
        assert state is not None
        assert state.live
        assert [key.kid for key in store.signing_keys("access-token")] == ["kid"]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_release_goes_on_beside_a_newer_one_that_only_added(
    tmp_path: Path, postgres: PostgresServer, engine: str
) -> None:
    """D4: one version of overlap, so that replicas are replaced one after the other."""
    # A database of its own: the one that tests share keeps its columns.
    location: DatabaseLocation = tmp_path / "keyless.db"
    if engine == "postgresql":
        location = postgres.create(template="migrated")
    world = World(location)
    newer = int(SCHEMA_VERSION) + 1
    world.change("UPDATE alembic_version SET version_num = ?", f"{newer:04}")
    world.change("ALTER TABLE token ADD COLUMN something_new TEXT")

    with open_store(location) as store:
        assert store.commit([world.grant()])[0].verdict is Verdict.GRANTED
    world.change("UPDATE meta SET value = ? WHERE key = 'oldest_schema'", newer)
    with pytest.raises(ConfigurationError, match="newer"):
        open_store(location)
    world.close()


@pytest.mark.parametrize("what", ["no directory", "a directory", "another file", "no permission"])
def test_a_place_that_cannot_hold_a_database_is_named(tmp_path: Path, what: str) -> None:
    """D4: the start stops with the path in the message."""
    path = tmp_path / "keyless.db"
    match what:
        case "no directory":
            path = tmp_path / "missing" / "keyless.db"
        case "a directory":
            path.mkdir()
        case "another file":
            path.write_text("this is a text file, and a long enough one to have a header\n" * 20)
        case _:
            path = Path("/proc/keyless.db")

    with pytest.raises(ConfigurationError, match=r"keyless\.db"):
        open_store(path)


def test_a_migrated_database_is_opened_without_alembic_and_sqlalchemy(tmp_path: Path) -> None:
    """D17, D18: a start that has nothing to migrate does not pay for the tools."""
    path = tmp_path / "keyless.db"
    open_store(path).close()
    program = (
        "import sys; from keyless.server.store import open_store; open_store(sys.argv[1]).close();"
        "print(sorted({'alembic', 'sqlalchemy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    """D4: replicas on one machine, or a server and a command, start at the same moment."""
    path = tmp_path / "keyless.db"
    program = "import sys; from keyless.server.store import open_store; open_store(sys.argv[1]).close()"
    children = [subprocess.Popen([sys.executable, "-c", program, path], env=os.environ.copy()) for _ in range(2)]

    assert [child.wait(30) for child in children] == [0, 0]
    with open_store(path) as store:
        assert store.trust_version() == 1
