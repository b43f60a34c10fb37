"""`keyless admin bootstrap | code | login | logout | whoami`: how people sign in (D13)."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.http.url import parse_endpoint
from keyless.secret import Secret
from keyless.server.cli import login_file, one_time_secret
from keyless.server.cli.admin_people import open_people
from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.store_access import add_store_arguments, moment, open_administration, print_json
from keyless.server.people.credentials import CODE_SECONDS, CODE_TRIES
from keyless.server.people.principal import SignedIn
from keyless.server.representations.principal import signed_in_from_json, signed_in_json
from keyless.server.store.admin import People
from keyless.server.store.admin.principals import words

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_MAX_CODE_BYTES = 1000


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs."""
    bootstrap = verbs.add_parser("bootstrap", help="make the one-time code for the first admin (needs the store)")
    bootstrap.set_defaults(handler=_bootstrap)
    one_time_secret.add_file_argument(bootstrap)
    add_store_arguments(bootstrap)
    code = verbs.add_parser("code", help="make a one-time code for somebody to sign in with")
    code.set_defaults(handler=_code)
    code.add_argument("--for", dest="name", metavar="NAME", required=True, help="who signs in with it")
    one_time_secret.add_file_argument(code)
    add_store_arguments(code, url=True)
    login = verbs.add_parser("login", help="exchange a one-time code for a login of 15 minutes")
    login.set_defaults(handler=_login)
    login.add_argument("--url", metavar="URL", required=True, help="the service's inside listener")
    login.add_argument("--name", metavar="NAME", help="what the first admin is called; only with the bootstrap code")
    login.add_argument("--code-file", metavar="FILE", help="read the code from here; - reads standard input")
    login.add_argument("--json", action="store_true", help="print JSON")
    for name, handler, text in (
        ("logout", _logout, "end the login at once"),
        ("whoami", _whoami, "show who is signed in"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(handler=handler)
        verb.add_argument("--url", metavar="URL", required=True, help="the service's inside listener")
        verb.add_argument("--json", action="store_true", help="print JSON")


def _bootstrap(options: argparse.Namespace) -> int:
    one_time_secret.check_place(options)
    with open_administration(options, create=True) as administration:
        code = People(administration).make_bootstrap_code()
    one_time_secret.show(options, Secret(code.reveal()))
    _explain_code("keyless admin login --url URL --name NAME")
    return 0


def _code(options: argparse.Namespace) -> int:
    one_time_secret.check_place(options)
    with open_people(options) as people:
        code = people.make_login_code(options.name)
    one_time_secret.show(options, Secret(code.reveal()))
    _explain_code("keyless admin login --url URL")
    return 0


def _explain_code(command: str) -> None:
    print(f"good once, for {CODE_SECONDS // 60} minutes and {CODE_TRIES} tries: {command}", file=sys.stderr)


def _login(options: argparse.Namespace) -> int:
    url = parse_endpoint(options.url, name="--url")
    body: dict[str, object] = {"code": _read_code(options.code_file).reveal()}
    if options.name is not None:
        body["name"] = options.name
    content = ApiClient(url, None).call("POST", "/login", body=body).content
    signed_in = signed_in_from_json(content)
    login_file.save(url, Secret(str(content.get("token"))), expires_at=signed_in.expires_at, environ=os.environ)
    _print(options, signed_in)
    return 0


def _read_code(path: str | None) -> Secret:
    """Return the code: a command line would show it to everybody on the machine, so it is never an argument."""
    try:
        if path is not None and path != "-":
            with Path(path).open("rb") as file:
                text = file.read(_MAX_CODE_BYTES).decode("ascii", "replace")
        elif path == "-" or not sys.stdin.isatty():
            text = sys.stdin.readline(_MAX_CODE_BYTES)
        else:
            text = getpass.getpass("one-time code: ")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if not text.strip():
        raise ConfigurationError("there is no code", hint="Type it, or name its file with --code-file.")
    return Secret(text.strip())


def _logout(options: argparse.Namespace) -> int:
    client = ApiClient.signed_in(options.url)
    client.call("DELETE", "/login")
    login_file.forget(client.url, os.environ)
    if options.json:
        print_json({"signed_out": client.url})
    else:
        print(f"signed out of {client.url}")
    return 0


def _whoami(options: argparse.Namespace) -> int:
    _print(options, signed_in_from_json(ApiClient.signed_in(options.url).get("/login").content))
    return 0


def _print(options: argparse.Namespace, signed_in: SignedIn) -> None:
    if options.json:
        print_json(signed_in_json(signed_in))
        return
    roles = ", ".join(words(signed_in.principal.roles)) or "no role"
    access = ", can only read" if signed_in.read_only else ""
    print(visible(f"{signed_in.principal.name} ({roles}{access}) until {moment(signed_in.expires_at)}"))
