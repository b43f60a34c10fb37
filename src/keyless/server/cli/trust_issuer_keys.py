"""`keyless trust issuer keys | refresh | distrust | pin-keys | unpin-keys`: what is believed of an issuer's keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.http.guarded import GuardedFetcher
from keyless.oidc.issuer import Issuer, PinnedKeys
from keyless.server.cli.store_access import (
    actor,
    add_store_arguments,
    moment,
    open_administration,
    open_local,
    parse_expiry,
    print_json,
    print_table,
    warn,
)
from keyless.server.services.issuer_keys import IssuerKeyWatch, Probe, probe_issuer

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(inner: Verbs) -> None:
    """Add the verbs about keys to those of `keyless trust issuer`."""
    for name, handler, text in (
        ("keys", _list, "list the keys an issuer had when it was last asked, and which are distrusted"),
        ("refresh", _refresh, "fetch an issuer's keys now; running servers do so before its next token"),
        ("unpin-keys", _unpin, "believe again the keys that an issuer publishes"),
    ):
        verb = inner.add_parser(name, help=text)
        verb.set_defaults(handler=handler)
        verb.add_argument("url", metavar="URL")
        add_store_arguments(verb)
    distrust = inner.add_parser("distrust", help="never use an issuer's key again; counts at the next exchange")
    distrust.set_defaults(handler=_distrust)
    distrust.add_argument("url", metavar="URL")
    distrust.add_argument("kid", metavar="KID", help="the key's id, as in the header of its tokens")
    distrust.add_argument("--undo", action="store_true", help="trust it again")
    add_store_arguments(distrust)
    pin = inner.add_parser("pin-keys", help="give the keys of an issuer that cannot be asked; nothing is fetched then")
    pin.set_defaults(handler=_pin)
    pin.add_argument("url", metavar="URL")
    add_pin_arguments(pin, required=True)
    add_store_arguments(pin)


def add_pin_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add `--jwks-file` and `--jwks-expires`."""
    parser.add_argument("--jwks-file", type=Path, metavar="FILE", required=required, help="its key set, as JSON")
    parser.add_argument(
        "--jwks-expires",
        type=parse_expiry,
        metavar="WHEN",
        required=required,
        help="30d, 12h or a date: when they end",
    )


def read_pinned(options: argparse.Namespace) -> PinnedKeys | None:
    """Return the key set that the options name, or `None`.

    Raises:
        ConfigurationError: Only one of the two is given, or the file cannot be read.
    """
    path: Path | None = options.jwks_file
    if path is None and options.jwks_expires is None:
        return None
    if path is None or options.jwks_expires is None:
        raise ConfigurationError("--jwks-file and --jwks-expires go together: pinned keys have an end")
    try:
        return PinnedKeys(path.read_text(encoding="utf-8"), options.jwks_expires)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigurationError(f"the key set {path} cannot be read: {reason}") from None


def probe(options: argparse.Namespace, issuer: Issuer) -> Probe:
    """Fetch an issuer's documents once from this machine, keep its keys, and say on standard error what failed."""
    with open_local(options) as (store, _settings):
        found = probe_issuer(issuer, GuardedFetcher(), IssuerKeyWatch(store), actor=actor())
    if found.problem is not None:
        warn(f"its keys cannot be had: {found.problem}. Tokens of it get 503 until they can")
    return found


def probe_json(found: Probe) -> dict[str, object]:
    """Return what a test fetch found, for programs."""
    return {
        "kids": list(found.kids),
        "jwks_uri": found.jwks_uri,
        "claims_supported": list(found.claims_supported),
        "problem": found.problem,
    }


def probe_text(found: Probe) -> list[str]:
    """Return what a test fetch found, for people."""
    if found.problem is not None:
        return []
    lines = [f"keys: {', '.join(visible(kid) for kid in found.kids)}"]
    if found.jwks_uri is not None:
        lines.append(f"from: {found.jwks_uri}")
    return lines


def _list(options: argparse.Namespace) -> int:
    with open_local(options) as (store, _settings), open_administration(options) as administration:
        issuer = administration.issuer(options.url)
        seen = sorted(set(store.issuer_keys(issuer.id).values()))
    pinned = issuer.pinned_keys
    if options.json:
        print_json(
            {
                "url": issuer.url,
                "seen": seen,
                "distrusted": sorted(issuer.distrusted_kids),
                "pinned_until": None if pinned is None else pinned.expires_at,
            }
        )
        return 0
    if pinned is not None:
        print(f"pinned by hand until {moment(pinned.expires_at)}; nothing is fetched")
    rows = [(kid, "distrusted" if kid in issuer.distrusted_kids else "seen") for kid in seen]
    rows += [(kid, "distrusted") for kid in sorted(issuer.distrusted_kids - set(seen))]
    print_table(("KID", "STATE"), rows)
    return 0


def _refresh(options: argparse.Namespace) -> int:
    with open_administration(options) as administration:
        issuer = administration.refresh_issuer_keys(options.url)
    found = probe(options, issuer)
    if options.json:
        print_json({"url": issuer.url, **probe_json(found)})
    else:
        print("\n".join([f"running servers fetch the keys of {issuer.url} before its next token", *probe_text(found)]))
    return 0 if found.problem is None else 5


def _distrust(options: argparse.Namespace) -> int:
    with open_administration(options) as administration:
        issuer = administration.set_issuer_key_trusted(options.url, options.kid, trusted=options.undo)
    if options.json:
        print_json({"url": issuer.url, "distrusted": sorted(issuer.distrusted_kids)})
    else:
        state = "may be used again" if options.undo else "is not used any more"
        print(f"the key {visible(options.kid)} of {issuer.url} {state}")
        if not options.undo:
            print(
                "access tokens that were exchanged with it before live on; "
                f"end them with: keyless trust issuer disable {issuer.url}"
            )
    return 0


def _pin(options: argparse.Namespace) -> int:
    with open_administration(options) as administration:
        issuer = administration.pin_issuer_keys(options.url, read_pinned(options))
    return _pinned(options, issuer)


def _unpin(options: argparse.Namespace) -> int:
    with open_administration(options) as administration:
        issuer = administration.pin_issuer_keys(options.url, None)
    return _pinned(options, issuer)


def _pinned(options: argparse.Namespace, issuer: Issuer) -> int:
    until = None if issuer.pinned_keys is None else issuer.pinned_keys.expires_at
    if options.json:
        print_json({"url": issuer.url, "pinned_until": until})
    elif until is None:
        print(f"the keys of {issuer.url} are fetched again")
    else:
        print(f"the keys of {issuer.url} are pinned until {moment(until)}; until then nothing is fetched")
    return 0
