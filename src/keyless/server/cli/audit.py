"""`keyless audit`: what happened, whether the record of it is whole, and how long it is kept."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.jose.jwk import KeySet, PublicKey
from keyless.resource import parse_resource
from keyless.server.audit.event import EventKind
from keyless.server.audit.reader import AuditFilter, AuditRecord, PageKey
from keyless.server.audit.verify import ChainReport
from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.parser import PageParser
from keyless.server.cli.remote_desk import RemoteDesk
from keyless.server.cli.store_access import (
    actor,
    add_store_arguments,
    moment,
    open_local,
    parse_past,
    print_json,
    run_handler,
    warn,
)
from keyless.server.representations.audit import audit_json
from keyless.server.settings import StoreSettings
from keyless.server.store import Store

if TYPE_CHECKING:
    from keyless.jose.signing import SigningKey

EPILOG = """\
examples:
  keyless audit list --resource acme/model --since 7d
  keyless audit list --kind exchange.refused --json
  keyless audit show 019a…                       a request id, a token's jti, or WRITER:SEQUENCE
  keyless audit export --jsonl --since 2026-01-01 > audit.jsonl
  keyless audit verify --checkpoint /mnt/elsewhere/checkpoints.jsonl
  keyless audit prune --before 365d

exit codes: 0 done, for verify: and the audit is whole; 1 it is broken, or nothing was found; 2 settings; 5 the
database is down
"""


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(
        prog="keyless audit",
        description="Read the audit, check it, and put old events away.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers()
    listing = verbs.add_parser("list", help="show the latest events, the newest last")
    listing.set_defaults(handler=_list)
    _add_filters(listing)
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many (default 50)")
    listing.add_argument("--before", type=_page_key, metavar="KEY", help="go on behind a page, as it said")
    add_store_arguments(listing, url=True)
    show = verbs.add_parser("show", help="show the events of one request or token, with all that is known")
    show.set_defaults(handler=_show)
    show.add_argument("name", metavar="ID", help="a request id, a token's jti, or WRITER:SEQUENCE")
    add_store_arguments(show, url=True)
    verify = verbs.add_parser("verify", help="check every chain, and what was sealed of it")
    verify.set_defaults(handler=_verify)
    verify.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="checkpoints that were kept outside the database; several times for several files, the oldest first",
    )
    verify.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="public key (PEM) of checkpoints; several times after a change of keys; else the service's own",
    )
    add_store_arguments(verify, url=True)
    export = verbs.add_parser("export", help="write all events, the oldest first")
    export.set_defaults(handler=_export)
    _add_filters(export)
    export.add_argument("--jsonl", action="store_true", required=True, help="one JSON object a line")
    export.add_argument("--output", type=Path, metavar="FILE", help="a new file; else standard output")
    add_store_arguments(export)
    prune = verbs.add_parser("prune", help="delete old events; a signed anchor keeps the rest verifiable")
    prune.set_defaults(handler=_prune)
    prune.add_argument("--before", type=parse_past, required=True, metavar="WHEN", help="365d, or a date")
    add_store_arguments(prune)
    seal = verbs.add_parser("seal", help="sign what the chains are now; a running service does so by itself")
    seal.set_defaults(handler=_seal)
    add_store_arguments(seal)
    key = verbs.add_parser("key", help="print the public key that checks checkpoints")
    key.set_defaults(handler=_key)
    add_store_arguments(key)
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    return run_handler(_parser().parse_args(argv))


def _add_filters(parser: argparse.ArgumentParser) -> None:
    which = parser.add_argument_group("which events")
    which.add_argument("--resource", metavar="RESOURCE", help="about this one")
    which.add_argument("--publisher", metavar="ID", help="about this publisher, pub_…")
    which.add_argument("--kind", metavar="KIND", help="of this kind, or group of kinds: exchange, token, publisher, …")
    which.add_argument("--actor", metavar="NAME", help="by this person or process, for example cli:alice")
    which.add_argument("--since", type=parse_past, metavar="WHEN", help="7d, 12h ago, or a date")
    which.add_argument("--until", type=parse_past, metavar="WHEN", help="before that; as above")


def _filter(options: argparse.Namespace) -> AuditFilter:
    if options.kind is not None and not any(
        kind == options.kind or kind.startswith(f"{options.kind}.") for kind in EventKind
    ):
        raise ConfigurationError(
            f"there is no kind of event {options.kind!r}", hint=f"Kinds: {', '.join(sorted(EventKind))}."
        )
    return AuditFilter(
        resource=None if options.resource is None else str(parse_resource(options.resource)),
        publisher_id=options.publisher,
        kind=options.kind,
        actor=options.actor,
        since=options.since,
        until=options.until,
    )


def _page_key(text: str) -> PageKey:
    at, dot, number = text.partition(".")
    if not (dot and at.isascii() and at.isdecimal() and number.isascii() and number.isdecimal()) or len(text) > 40:
        raise argparse.ArgumentTypeError(f"{text!r} is no page key, such as 1764000000.123")
    return int(at), int(number)


def _list(options: argparse.Namespace) -> int:
    limit = max(1, options.limit)
    with _open_reader(options) as reader:
        records = reader.audit_events(wanted=_filter(options), before=options.before, limit=limit)
    if options.json:
        print_json([audit_json(record) for record in records])
    else:
        for record in records:
            print("\n".join(_lines(record)))
        if len(records) == limit and records[0].id:  # over the API a page's key is the service's own
            at, number = records[0].key
            print(f"\nolder ones: --before {at}.{number}")
    return 0


def _show(options: argparse.Namespace) -> int:
    with _open_reader(options) as reader:
        records = reader.audit_event(options.name)
    if options.json:
        print_json([audit_json(record) for record in records])
    for record in () if options.json else records:
        print("\n".join([*_lines(record), f"    event: {record.writer}:{record.sequence}", f"    hash: {record.hash}"]))
    if not records:
        warn(f"there is no event of {options.name!r}")
    return 0 if records else 1


def _lines(record: AuditRecord) -> list[str]:
    """Return an event for people: what happened, then who and why, then the claims."""
    what = [moment(record.at), record.kind]
    what += [word for word in (record.reason, record.resource, record.publisher_id) if word]
    lines = [visible("  ".join(what))]
    for name, value in (
        ("by", record.actor or record.ci_subject),
        ("issuer", record.issuer),
        ("run", record.run_url),
        ("token", record.jti),
        ("from", record.address),
        ("request", record.request_id),
    ):
        if value:
            lines.append(f"    {name}: {visible(value)}")
    return lines + [f"    {visible(name)}: {visible(_flat(item))}" for name, item in record.data.items()]


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_flat(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(_flat(item) for item in value)
    return str(value)


def _verify(options: argparse.Namespace) -> int:
    found, sealed = _verified_there(options) if options.api_url is not None else _verified_here(options)
    if options.json:
        print_json(asdict(found))
    else:
        for problem in found.problems:
            print(visible(problem))
        for note in found.notes:
            warn(visible(note))
        state = "whole" if found.intact else "BROKEN"
        checked = f", {found.checkpoints} checkpoints" if sealed else ", no checkpoint key"
        print(f"{found.events} events of {found.writers} writers{checked}: the audit is {state}")
    return 0 if found.intact else 1


def _verified_here(options: argparse.Namespace) -> tuple[ChainReport, bool]:
    """Check the chains; also return whether there was a key to check checkpoints with."""
    from keyless.server.services.checkpoint_key import read_public_key
    from keyless.server.services.sealer import read_file

    with open_local(options) as (store, settings):
        keys: list[PublicKey] = [read_public_key(path) for path in options.key]
        if not keys and (own := _own_key(options, settings)) is not None:
            keys.append(own.public_key())
        if options.checkpoint and not keys:
            raise ConfigurationError(
                "checkpoints cannot be checked without their key",
                hint="Give --key FILE; `keyless audit key` prints it.",
            )
        kept: Iterator[tuple[str, str]] = (entry for path in options.checkpoint for entry in read_file(path))
        return store.verify_chain(keys=KeySet.of(keys) if keys else None, kept=kept), bool(keys)


def _verified_there(options: argparse.Namespace) -> tuple[ChainReport, bool]:
    if options.checkpoint or options.key:
        raise ConfigurationError(
            "--checkpoint and --key are for the store itself", hint="Over --url the service checks with its own key."
        )
    report = _desk(options).verify_audit()
    return report, report.checkpoints > 0


def _desk(options: argparse.Namespace) -> RemoteDesk:
    return RemoteDesk(ApiClient.signed_in(options.api_url))


@contextmanager
def _open_reader(options: argparse.Namespace) -> Iterator[Store | RemoteDesk]:
    if options.api_url is not None:
        yield _desk(options)
        return
    with open_local(options) as (store, _settings):
        yield store


def _export(options: argparse.Namespace) -> int:
    wanted = _filter(options)
    with open_local(options) as (store, _settings), _output(options.output) as file:
        for record in store.export_audit(wanted):
            print(json.dumps(audit_json(record), ensure_ascii=True), file=file)
    return 0


def _output(path: Path | None) -> TextIO | nullcontext[None]:
    if path is None:
        return nullcontext()
    try:
        # Addresses are in it: for its owner only.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _prune(options: argparse.Namespace) -> int:
    with open_local(options) as (store, settings):
        key = _needed_key(options, settings)
        store.audit.seal(key)
        gone = store.audit.prune(key, before=options.before, actor=actor())
    if options.json:
        print_json({"pruned": gone, "before": options.before})
    else:
        print(f"{gone} events before {moment(options.before)} are deleted; anchors stand for them")
    return 0


def _seal(options: argparse.Namespace) -> int:
    from keyless.server.services.sealer import Sealer, checkpoint_file

    with open_local(options) as (store, settings):
        where = checkpoint_file(_placed(options, settings))
        made = Sealer(store.audit, _needed_key(options, settings), where).seal()
    if options.json:
        print_json({"number": None if made is None else made.number, "file": None if where is None else str(where)})
    elif made is None:
        print("there is nothing new to seal")
    else:
        print(f"checkpoint {made.number} seals {len(made.heads)} writers{'' if where is None else f' in {where}'}")
    return 0


def _key(options: argparse.Namespace) -> int:
    from keyless.server.services.checkpoint_key import public_pem

    with open_local(options) as (_store, settings):
        key = _needed_key(options, settings)
    if options.json:
        print_json(key.public_jwk())
    else:
        print(public_pem(key), end="")
    return 0


def _own_key(options: argparse.Namespace, settings: StoreSettings) -> SigningKey | None:
    from keyless.server.services.checkpoint_key import load_checkpoint_key

    return load_checkpoint_key(_placed(options, settings))


def _needed_key(options: argparse.Namespace, settings: StoreSettings) -> SigningKey:
    from keyless.server.services.checkpoint_key import load_checkpoint_key

    key = load_checkpoint_key(_placed(options, settings), create=True)
    if key is None:
        raise ConfigurationError("there is no checkpoint key", hint="Set checkpoint_key_file.")
    return key


def _placed(options: argparse.Namespace, settings: StoreSettings) -> StoreSettings:
    """Return the settings, with the database that the command names: its key stands beside it."""
    return settings if options.db is None else settings.model_copy(update={"database": options.db})
