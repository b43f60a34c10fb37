"""What the verbs that work on the local store have in common: which database, who acts, and how results are printed."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from keyless.cli.output import report
from keyless.cli.terminal import columns, table, visible
from keyless.errors import ConfigurationError, Error
from keyless.server.database_url import DatabaseLocation, parse_location
from keyless.server.moments import parse_moment
from keyless.server.settings import StoreSettings, load_store_settings
from keyless.server.store import Store, open_store
from keyless.server.store.admin import Administration

Handler = Callable[[argparse.Namespace], int]


def add_store_arguments(parser: argparse.ArgumentParser, *, url: bool = False) -> None:
    """Add `--db`, `--config` and `--json`; and `--url` to a verb that works over the API, too."""
    where = parser.add_argument_group("where the trust is, and how it is shown")
    if url:
        text = "a service's inside listener; else the local store"
        where.add_argument("--url", dest="api_url", metavar="URL", help=text)
    where.add_argument(
        "--db", type=location, metavar="PATH", help="database file or postgresql:// URL; else the one in the settings"
    )
    where.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML); else KEYLESS_CONFIG")
    where.add_argument("--json", action="store_true", help="print JSON")


def location(text: str) -> DatabaseLocation:
    """Return where an argument says that the database is; for `type=` of an argument.

    Raises:
        argparse.ArgumentTypeError: It is a URL of something else.
    """
    try:
        return parse_location(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_handler(options: argparse.Namespace) -> int:
    """Run the handler that the parser chose; print an error once and return its exit status."""
    handler: Handler = options.handler
    try:
        return handler(options)
    except Error as error:
        return report(error)


@contextmanager
def open_local(options: argparse.Namespace, *, create: bool = False) -> Iterator[tuple[Store, StoreSettings]]:
    """Open the store that the options and settings name.

    Args:
        options: With `db` and `config`.
        create: Make it when it does not exist yet.

    Raises:
        ConfigurationError: It does not exist, or cannot be used.
    """
    settings = load_store_settings(options.config)
    where: DatabaseLocation = options.db or settings.database
    if not create and isinstance(where, Path) and not where.exists():
        raise ConfigurationError(
            f"there is no database {where}",
            hint="Name it with --db PATH or --config FILE; keyless serve and keyless trust add make a new one.",
        )
    with open_store(where) as store:
        yield store, settings


@contextmanager
def open_administration(options: argparse.Namespace, *, create: bool = False) -> Iterator[Administration]:
    """Open the store for changes of trust, in the name of the operating system's user."""
    with open_local(options, create=create) as (store, settings):
        if settings.public_url is not None and not store.resource_servers():
            store.ensure_default_resource_server(settings.public_url, settings.token_profile, actor=actor())
        for name, door in settings.doors.items():
            store.ensure_resource_server(door.url, name, actor=actor())
        with Administration(store, actor=actor()) as administration:
            yield administration


def actor() -> str:
    """Return the name that the audit gives to whoever runs this command."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "cli:unknown"


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns that fit the terminal; a cell's control characters are shown as escapes (T18)."""
    print("\n".join(table(header, rows, most=columns(sys.stdout))))


def warn(text: str) -> None:
    """Print a warning to standard error."""
    print(f"keyless: warning: {visible(text)}", file=sys.stderr)


def moment(unix_seconds: int | None, *, never: str = "never") -> str:
    """Return a time for people, UTC to the second."""
    if unix_seconds is None:
        return never
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def parse_expiry(text: str) -> int:
    """Return Unix seconds from `30d`, `12h`, a date, or a date and time with a zone; for `type=` of an argument.

    Raises:
        argparse.ArgumentTypeError: It is none of these.
    """
    return _parse_time(text, sign=1)


def parse_past(text: str) -> int:
    """Return Unix seconds as `parse_expiry` does, `30d` being thirty days ago."""
    return _parse_time(text, sign=-1)


def _parse_time(text: str, *, sign: int) -> int:
    try:
        return parse_moment(text, now=time.time(), sign=sign)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(error.message) from None
