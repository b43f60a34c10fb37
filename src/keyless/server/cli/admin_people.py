"""`keyless admin person … | token | logins | end-login`: people, machines, and what they sign in with."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyless.errors import ConfigurationError
from keyless.server.cli import one_time_secret
from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.remote_people import RemotePeople
from keyless.server.cli.store_access import (
    add_store_arguments,
    moment,
    open_administration,
    parse_expiry,
    print_json,
    print_table,
)
from keyless.server.people.principal import Principal, PrincipalKind
from keyless.server.representations.principal import login_json, principal_json
from keyless.server.store.admin import People
from keyless.server.store.admin.principals import parse_role, words

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

HEADER = ("NAME", "KIND", "ROLES", "STATE", "ADDED")


@contextmanager
def open_people(options: argparse.Namespace) -> Iterator[People | RemotePeople]:
    """Open the door to people: over the API when `--url` is given, else at the store."""
    if options.api_url is not None:
        yield RemotePeople(ApiClient.signed_in(options.api_url))
        return
    with open_administration(options) as administration:
        yield People(administration)


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs."""
    person = verbs.add_parser("person", help="people and machines, and their roles")
    inner = person.add_subparsers()
    roles = "admin, viewer, viewer:NAMESPACE or owner:NAMESPACE; may be given again"
    add = inner.add_parser("add", help="add somebody")
    add.set_defaults(handler=_add)
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", metavar="ROLE", action="append", default=[], help=roles)
    add.add_argument("--machine", action="store_true", help="it only reads, with a token from `keyless admin token`")
    add_store_arguments(add, url=True)
    listing = inner.add_parser("list", help="list people and machines")
    listing.set_defaults(handler=_list)
    add_store_arguments(listing, url=True)
    change = inner.add_parser("roles", help="replace somebody's roles")
    change.set_defaults(handler=_roles)
    change.add_argument("name", metavar="NAME")
    change.add_argument("--role", metavar="ROLE", action="append", default=[], help=roles)
    add_store_arguments(change, url=True)
    for name, handler, text in (
        ("show", _show, "show one"),
        ("enable", _enable, "let somebody sign in again"),
        ("disable", _disable, "let somebody not sign in any more; logins end at once"),
        ("remove", _remove, "remove somebody for good; logins end at once"),
    ):
        verb = inner.add_parser(name, help=text)
        verb.set_defaults(handler=handler)
        verb.add_argument("name", metavar="NAME")
        add_store_arguments(verb, url=True)
    token = verbs.add_parser("token", help="make a machine's token that can only read, for trust plan in CI")
    token.set_defaults(handler=_token)
    token.add_argument("--for", dest="name", metavar="NAME", required=True, help="whose it is: a machine")
    token.add_argument("--expires", type=parse_expiry, metavar="WHEN", required=True, help="90d, 12h or a date")
    one_time_secret.add_file_argument(token)
    add_store_arguments(token, url=True)
    logins = verbs.add_parser("logins", help="list somebody's logins that are good now")
    logins.set_defaults(handler=_logins)
    logins.add_argument("name", metavar="NAME")
    add_store_arguments(logins, url=True)
    end = verbs.add_parser("end-login", help="end a login of somebody at once")
    end.set_defaults(handler=_end)
    end.add_argument("name", metavar="NAME")
    end.add_argument("login", metavar="LOGIN", help="its id, lgn_…")
    add_store_arguments(end, url=True)


def _add(options: argparse.Namespace) -> int:
    kind = PrincipalKind.MACHINE if options.machine else PrincipalKind.PERSON
    roles = [parse_role(text) for text in options.role]
    with open_people(options) as people:
        added = people.add(options.name, kind=kind, roles=roles)
    _print(options, added)
    return 0


def _list(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        found = people.all()
    if options.json:
        print_json([principal_json(item) for item in found])
    else:
        print_table(HEADER, [_row(item) for item in found])
    return 0


def _show(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        _print(options, people.get(options.name))
    return 0


def _roles(options: argparse.Namespace) -> int:
    roles = [parse_role(text) for text in options.role]
    with open_people(options) as people:
        _print(options, people.set_roles(options.name, roles))
    return 0


def _enable(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        _print(options, people.set_enabled(options.name, enabled=True))
    return 0


def _disable(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        _print(options, people.set_enabled(options.name, enabled=False))
    return 0


def _remove(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        removed = people.remove(options.name)
    if options.json:
        print_json({"removed": removed.name})
    else:
        print(f"{removed.name} is removed; no login of that name works any more")
    return 0


def _token(options: argparse.Namespace) -> int:
    one_time_secret.check_place(options)
    seconds = options.expires - int(time.time())
    with open_people(options) as people:
        started = people.make_reading_token(options.name, seconds=seconds)
    one_time_secret.show(options, started.secret)
    return 0


def _logins(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        found = people.all_logins(options.name)
    if options.json:
        print_json([login_json(item) for item in found])
        return 0
    print_table(
        ("LOGIN", "ACCESS", "BY", "SINCE", "UNTIL"),
        [
            (
                item.id,
                "reads" if item.read_only else "full",
                item.created_by,
                moment(item.created_at),
                moment(item.expires_at),
            )
            for item in found
        ],
    )
    return 0


def _end(options: argparse.Namespace) -> int:
    with open_people(options) as people:
        if not people.end_login_of(options.name, options.login):
            raise ConfigurationError(
                f"{options.name} has no login {options.login!a}", hint=f"See: keyless admin logins {options.name}"
            )
    if options.json:
        print_json({"ended": options.login})
    else:
        print(f"login {options.login} of {options.name} is over")
    return 0


def _print(options: argparse.Namespace, principal: Principal) -> None:
    if options.json:
        print_json(principal_json(principal))
    else:
        print_table(HEADER, [_row(principal)])


def _row(principal: Principal) -> tuple[str, ...]:
    return (
        principal.name,
        principal.kind.value,
        ", ".join(words(principal.roles)) or "-",
        "enabled" if principal.enabled else "disabled",
        f"{moment(principal.created_at)} by {principal.created_by}",
    )
