"""What an operator asks of a database beside the running service: its version, its health, its rights."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.audit.verify import verify_chain
from keyless.server.store.connection import Connection, Database
from keyless.server.store.roles import grants_for
from keyless.server.store.schema import SCHEMA_VERSION, schema_version
from keyless.server.store.sqlite import SqliteDatabase

MAX_CLOCK_SKEW_SECONDS: Final = 30


@dataclass(slots=True)
class Health:
    """Say what was found: facts by name, and what is wrong."""

    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problems


def version_of(database: Database) -> str | None:
    """Return the schema version, or `None` of an empty database or a file that is not there.

    Raises:
        UnavailableError: It does not answer.
    """
    if isinstance(database, SqliteDatabase) and not database.path.exists():
        return None
    try:
        with closing(database.connect(read_only=True)) as connection:
            return schema_version(connection)
    except database.errors as error:
        raise UnavailableError(f"database {database} cannot be read: {error}") from None


def grant_to(database: Database, role: str) -> None:
    """Let a PostgreSQL role serve from this database, and no more.

    Raises:
        ConfigurationError: It is a SQLite database, or there is no such role, or we may not do that.
    """
    if isinstance(database, SqliteDatabase):
        raise ConfigurationError("a SQLite database knows no roles", hint="Leave --server-role out.")
    statements = grants_for(role)
    try:
        with closing(database.connect()) as connection:
            connection.execute(database.begin)
            for statement in statements:
                connection.execute(statement)
            connection.execute("COMMIT")
    except database.errors as error:
        raise ConfigurationError(f"role {role} cannot be given its rights: {error}") from None


def check_database(database: Database, *, audit: bool) -> Health:
    """Look at schema, files, durability, clock and rights; change nothing.

    Raises:
        UnavailableError: The database does not answer.
    """
    health = Health()
    health.facts["database"] = str(database)
    try:
        with closing(database.connect()) as connection:
            version = schema_version(connection)
            health.facts["schema"] = f"{version} (this release: {SCHEMA_VERSION})"
            if version != SCHEMA_VERSION:
                health.problems.append("the schema is not this release's: run `keyless db upgrade`")
            if isinstance(database, SqliteDatabase):
                _check_sqlite(connection, health)
            else:
                _check_postgres(connection, health)
            if audit and version == SCHEMA_VERSION:
                report = verify_chain(connection)
                health.facts["audit"] = f"{report.events} events of {report.writers} writers"
                health.problems += report.problems
    except database.errors as error:
        raise UnavailableError(f"database {database} cannot be read: {error}") from None
    return health


def _check_sqlite(connection: Connection, health: Health) -> None:
    for name, wanted in (("journal_mode", "wal"), ("synchronous", "2")):
        value = str(connection.execute(f"PRAGMA {name}").fetchone()[0])
        health.facts[name] = "full" if (name, value) == ("synchronous", "2") else value
        if value != wanted:
            health.problems.append(f"{name} is {value}: committed tokens could vanish with the power")
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)").fetchall()]
    if found != ["ok"]:
        health.problems += [f"the file is damaged: {line}" for line in found]
    if (orphans := len(connection.execute("PRAGMA foreign_key_check").fetchall())) > 0:
        health.problems.append(f"{orphans} rows name others that are not there")


def _check_postgres(connection: Connection, health: Health) -> None:
    before = time.time()
    row = connection.execute(
        "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes'),"
        " current_setting('synchronous_commit'), current_user, extract(epoch FROM clock_timestamp())::float8,"
        " pg_is_in_recovery()"
    ).fetchone()
    version, fsync, pages, synchronous, role, now, standby = row
    skew = (before + time.time()) / 2 - now
    health.facts |= {
        "server": version,
        "fsync": fsync,
        "full_page_writes": pages,
        "synchronous_commit": synchronous,
        "clock": f"{skew:+.1f} s from the database's",
        "role": role,
    }
    for name, value in (("fsync", fsync), ("full_page_writes", pages), ("synchronous_commit", synchronous)):
        if value == "off":
            health.problems.append(f"{name} is off: committed tokens could vanish with the power")
    if standby:
        health.problems.append("this is a standby, which takes no writes")
    if abs(skew) > MAX_CLOCK_SKEW_SECONDS:
        health.problems.append(f"this machine's clock is {skew:+.0f} s from the database's")
    # Only a fact: the owner, as whom upgrades run, may do everything.
    may = connection.execute(
        "SELECT has_table_privilege('audit_event', 'UPDATE') OR has_table_privilege('audit_event', 'DELETE')"
        " WHERE to_regclass('audit_event') IS NOT NULL"
    ).fetchone()
    if may is not None:
        health.facts["audit rows"] = "this role could change them" if may[0] else "this role can only add them"
