"""`keyless db`: upgrade, check, back up, restore and move the database."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.server.cli.parser import PageParser
from keyless.server.cli.store_access import add_store_arguments, location, print_json, run_handler
from keyless.server.database_url import DatabaseLocation
from keyless.server.settings import load_store_settings
from keyless.server.store.connection import Database
from keyless.server.store.database import open_database

EPILOG = """\
examples:
  keyless db upgrade --db postgresql://owner@db.internal/keyless --server-role keyless_server
  keyless db check --audit
  keyless db backup /var/backups/keyless-2027-01-31.db
  keyless db restore /var/backups/keyless-2027-01-31.db
  keyless db copy --to postgresql://owner@db.internal/keyless
  keyless db grants keyless_server | psql postgresql://owner@db.internal/keyless

exit codes: 0 done, for check: and nothing is wrong; 1 check found something; 2 it cannot be so; 5 no answer
"""


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(
        prog="keyless db",
        description="Upgrade, check, back up, restore and move the database.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers()
    upgrade = verbs.add_parser("upgrade", help="bring the database to this release's schema")
    upgrade.add_argument("--server-role", metavar="ROLE", help="PostgreSQL: also grant the service's role its rights")
    upgrade.set_defaults(handler=_upgrade)
    check = verbs.add_parser("check", help="say whether schema, files, durability and rights are as they should be")
    check.add_argument("--audit", action="store_true", help="follow the audit chains, too; reads the whole audit")
    check.set_defaults(handler=_check)
    backup = verbs.add_parser("backup", help="write everything to a new file, while the service runs")
    backup.add_argument("file", type=Path, metavar="FILE", help="new file; a SQLite database, readable by you only")
    backup.set_defaults(handler=_backup)
    restore = verbs.add_parser("restore", help="put a backup into a new database")
    restore.add_argument("file", type=Path, metavar="FILE", help="a backup")
    restore.set_defaults(handler=_restore)
    copy = verbs.add_parser("copy", help="copy everything into another, empty database; stop the service first")
    copy.add_argument("--to", type=location, required=True, metavar="URL", help="postgresql:// URL or path of a file")
    copy.set_defaults(handler=_copy)
    for verb in (upgrade, check, backup, restore, copy):
        add_store_arguments(verb)
    grants = verbs.add_parser("grants", help="print what lets a PostgreSQL role serve, and no more")
    grants.add_argument("role", metavar="ROLE", help="the role that keyless serve connects as")
    grants.add_argument("--json", action="store_true", help="print JSON")
    grants.set_defaults(handler=_grants)
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    return run_handler(_parser().parse_args(argv))


def _database(options: argparse.Namespace, *, must_exist: bool = True) -> Database:
    where: DatabaseLocation = options.db or load_store_settings(options.config).database
    if must_exist and isinstance(where, Path) and not where.exists():
        raise ConfigurationError(f"there is no database {where}", hint="Name it with --db or --config FILE.")
    return open_database(where)


def _upgrade(options: argparse.Namespace) -> int:
    from keyless.server.store.maintenance import version_of
    from keyless.server.store.schema import SCHEMA_VERSION

    database = _database(options, must_exist=False)
    before = version_of(database)
    database.ensure_schema()
    if options.server_role is not None:
        from keyless.server.store.maintenance import grant_to

        grant_to(database, options.server_role)
    if options.json:
        print_json({"before": before, "after": version_of(database)})
    elif before == SCHEMA_VERSION:
        print(f"{database}: schema {SCHEMA_VERSION}, nothing to do")
    else:
        print(f"{database}: schema {before or '(empty)'} -> {version_of(database)}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from keyless.server.store.maintenance import check_database

    found = check_database(_database(options), audit=options.audit)
    if options.json:
        print_json(asdict(found))
    else:
        for name, value in found.facts.items():
            print(visible(f"{name}: {value}"))
        for problem in found.problems:
            print(visible(f"PROBLEM: {problem}"))
        print("the database is as it should be" if found.good else "the database needs attention")
    return 0 if found.good else 1


def _backup(options: argparse.Namespace) -> int:
    from keyless.server.store.backup import back_up

    report = back_up(_database(options), options.file)
    if options.json:
        print_json({"file": str(options.file), "chains": asdict(report)})
    else:
        print(f"{options.file}: written, {report.events} audit events of {report.writers} writers")
    print("keyless: the key-encryption key is not in it: keep that somewhere else", file=sys.stderr)
    return _status(report.problems)


def _restore(options: argparse.Namespace) -> int:
    from keyless.server.store.backup import restore

    database = _database(options, must_exist=False)
    report = restore(options.file, database)
    if options.json:
        print_json({"database": str(database), "chains": asdict(report)})
    else:
        print(f"{database}: restored, {report.events} audit events of {report.writers} writers")
    print(
        "keyless: what happened after the backup is not in it: tokens revoked since are good again until they end, at"
        " most an hour after they were issued. Rotate the signing key if that matters.",
        file=sys.stderr,
    )
    return _status(report.problems)


def _copy(options: argparse.Namespace) -> int:
    from keyless.server.store.copying import copy_database

    source, target = _database(options), open_database(options.to)
    target.ensure_schema()

    def progress(table: str, rows: int) -> None:
        if not options.json and rows:
            print(f"{table}: {rows}", flush=True)

    report = copy_database(source, target, freeze=True, progress=progress)
    if options.json:
        print_json(asdict(report))
    else:
        print(f"{target}: {sum(report.rows.values())} rows, {report.chains.events} audit events, all counted")
    return _status(report.chains.problems)


def _grants(options: argparse.Namespace) -> int:
    from keyless.server.store.roles import grants_for

    statements = [f"{statement};" for statement in grants_for(options.role)]
    if options.json:
        print_json({"role": options.role, "statements": statements})
    else:
        print("\n".join(statements))
    return 0


def _status(problems: tuple[str, ...]) -> int:
    for problem in problems:
        print(f"keyless: audit: {visible(problem)}", file=sys.stderr)
    return 1 if problems else 0
