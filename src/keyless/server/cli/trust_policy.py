"""`keyless trust plan | apply | schema`: policy as code (D13)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from keyless.cli.output import EXIT_OK, EXIT_OTHER
from keyless.cli.terminal import visible
from keyless.errors import ConflictError
from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.store_access import add_store_arguments, open_administration, print_json
from keyless.server.policy.document import Policy, policy_json, read_policy, schema_text
from keyless.server.policy.plan import Action, Difference, Plan, PlannedChange, plan_from_json, plan_json
from keyless.server.policy.service import PlanChangedError, PolicyService

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_SIGNS = {
    Action.ADD_ISSUER: "+",
    Action.ADD: "+",
    Action.CHANGE: "~",
    Action.REPLACE: "~",
    Action.REMOVE: "-",
    Action.SURPLUS: "?",
}
_WORDS = {
    Action.ADD_ISSUER: "add the issuer",
    Action.ADD: "add a publisher of",
    Action.CHANGE: "change",
    Action.REPLACE: "replace",
    Action.REMOVE: "remove",
    Action.SURPLUS: "not in the policy, and kept:",
}


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs."""
    plan = verbs.add_parser("plan", help="show what a policy would change, claim by claim; changes nothing")
    plan.set_defaults(handler=_plan)
    _add_policy_arguments(plan)
    plan.add_argument("--exit-code", action="store_true", help="exit with 1 when something differs")
    add_store_arguments(plan, url=True)
    apply = verbs.add_parser("apply", help="make the store as a policy says: all of it, or nothing")
    apply.set_defaults(handler=_apply)
    _add_policy_arguments(apply)
    apply.add_argument("--expect", metavar="DIGEST", help="only what `trust plan` showed under this digest")
    add_store_arguments(apply, url=True)
    schema = verbs.add_parser("schema", help="print the JSON schema of policies, for editors")
    schema.set_defaults(handler=_schema)
    schema.add_argument("--json", action="store_true", help="it is JSON in any case")


def _add_policy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="TOML, or JSON when it ends in .json")
    parser.add_argument("--prune", action="store_true", help="remove publishers in its reach that are not in it")


def _plan(options: argparse.Namespace) -> int:
    policy = read_policy(options.files)
    if options.api_url is not None:
        plan = _ask(options, "/policy/plan", policy, {})
    else:
        with open_administration(options) as administration:
            plan = PolicyService(administration).plan(policy, prune=options.prune)
    _print(options, plan)
    if plan.pending and not options.json:
        print(f"\nto do exactly this: keyless trust apply --expect {plan.digest} …")
    return EXIT_OTHER if options.exit_code and plan.changes else EXIT_OK


def _apply(options: argparse.Namespace) -> int:
    policy = read_policy(options.files)
    if options.api_url is not None:
        expected = {} if options.expect is None else {"expect": options.expect}
        plan = _ask(options, "/policy/apply", policy, expected)
    else:
        with open_administration(options, create=True) as administration:
            try:
                plan = PolicyService(administration).apply(policy, prune=options.prune, expect=options.expect)
            except PlanChangedError as error:
                raise ConflictError(str(error), hint=error.hint) from None
    _print(options, plan)
    if plan.pending and not options.json:
        print("applied")
    return EXIT_OK


def _ask(options: argparse.Namespace, path: str, policy: Policy, more: dict[str, object]) -> Plan:
    body = {"policy": policy_json(policy), "prune": options.prune, **more}
    return plan_from_json(ApiClient.signed_in(options.api_url).call("POST", path, body=body).content)


def _schema(options: argparse.Namespace) -> int:
    del options
    print(schema_text(), end="")
    return EXIT_OK


def _print(options: argparse.Namespace, plan: Plan) -> None:
    if options.json:
        print_json(plan_json(plan))
        return
    for change in plan.changes:
        print("\n".join(visible(line) for line in _lines(change)))
    if not plan.changes:
        print("nothing differs")


def _lines(change: PlannedChange) -> list[str]:
    what = [_SIGNS[change.action], _WORDS[change.action]]
    what += [word for word in (change.publisher, change.resource and f"of {change.resource}") if word]
    if change.action is Action.ADD:
        what = [_SIGNS[change.action], _WORDS[change.action], change.resource or ""]
    if change.resource is None:
        what.append(change.issuer)
    return [" ".join(what), *(f"    {_difference(difference)}" for difference in change.differences)]


def _difference(difference: Difference) -> str:
    if difference.before is None:
        return f"+ {difference.name}: {difference.after}"
    if difference.after is None:
        return f"- {difference.name}: {difference.before}"
    return f"~ {difference.name}: {difference.before} -> {difference.after}"
