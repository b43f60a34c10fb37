"""`keyless trust lock | unlock | locks | publishers-only | created`: of whole resources (T93, T101, T109)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import add_store_arguments, open_administration, print_json
from keyless.server.representations.resource import locks_json, resource_json

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs about resources, namespaces and everything."""
    for name, text in (
        ("lock", "stop a resource, a namespace, an issuer or everything; their tokens stop working at once"),
        ("unlock", "let it go on"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(handler=_lock, locked=name == "lock")
        what = verb.add_mutually_exclusive_group(required=True)
        what.add_argument("resource", metavar="RESOURCE", nargs="?", help="acme/model, datasets/acme/data, …")
        what.add_argument("--namespace", metavar="NAME", help="all resources of this one")
        what.add_argument("--issuer", metavar="URL", help="all tokens that came from this one")
        what.add_argument("--all", action="store_true", help="every exchange and every token of this service")
        verb.add_argument("--reason", metavar="TEXT", help="why; the audit keeps it")
        add_store_arguments(verb, url=True)
    locks = verbs.add_parser("locks", help="show what is locked")
    locks.set_defaults(handler=_locks)
    add_store_arguments(locks, url=True)
    only = verbs.add_parser("publishers-only", help="let a resource take no stored tokens, only publishers'")
    only.set_defaults(handler=_publishers_only)
    only.add_argument("resource", metavar="RESOURCE")
    only.add_argument("--off", action="store_true", help="let it take stored tokens again")
    add_store_arguments(only, url=True)
    created = verbs.add_parser("created", help="tell that a repository was created: who waited for its name is removed")
    created.set_defaults(handler=_created)
    created.add_argument("resource", metavar="RESOURCE")
    add_store_arguments(created)


def _lock(options: argparse.Namespace) -> int:
    locked: bool = options.locked
    answer: dict[str, object]
    with open_desk(options) as desk:
        if options.all:
            what, answer = "everything", {"everything": True}
            desk.set_all_locked(locked=locked, reason=options.reason)
        elif options.namespace is not None:
            what, answer = f"namespace {options.namespace}", {"namespace": options.namespace}
            desk.set_namespace_locked(options.namespace, locked=locked, reason=options.reason)
        elif options.issuer is not None:
            if options.reason is not None:
                raise ConfigurationError("--reason is for resources, namespaces and --all")
            what, answer = f"issuer {options.issuer}", {"issuer": options.issuer}
            desk.set_issuer_enabled(options.issuer, enabled=not locked)
        else:
            resource = parse_resource(options.resource)
            what, answer = resource.short, {"resource": str(resource)}
            desk.set_resource_state(resource, "locked" if locked else "active", reason=options.reason)
    if options.json:
        print_json({**answer, "locked": locked})
    else:
        print(f"{what} is {'locked; its tokens do not work any more' if locked else 'not locked any more'}")
    return 0


def _locks(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        locks = desk.locks()
    if options.json:
        print_json(locks_json(locks))
        return 0
    lines = ["everything"] if locks.everything else []
    lines += [f"namespace {name}" for name in locks.namespaces]
    lines += [resource.short for resource in locks.resources]
    lines += [f"issuer {url}" for url in locks.issuers]
    print("\n".join(lines) if lines else "nothing is locked")
    return 0


def _publishers_only(options: argparse.Namespace) -> int:
    resource = parse_resource(options.resource)
    with open_desk(options) as desk:
        desk.set_publishers_only(resource, publishers_only=not options.off)
        state = desk.resource_state(resource)
    if options.json:
        print_json(resource_json(state))
    else:
        print(f"{resource.short} takes {'stored tokens too' if options.off else 'tokens of trusted publishers only'}")
    return 0


def _created(options: argparse.Namespace) -> int:
    resource = parse_resource(options.resource)
    with open_administration(options) as administration:
        awaited = administration.note_existence(resource)
    if options.json:
        print_json({"resource": str(resource), "awaited": awaited})
    else:
        print(f"{resource.short} exists{'; nobody waits for it any more' if awaited else '; nobody waited for it'}")
    return 0
