"""`keyless trust lint`: publishers that trust more than their owner may think, or that do nothing."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from keyless.cli.output import EXIT_OK, EXIT_OTHER
from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES
from keyless.resource import parse_resource
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import add_store_arguments, print_json
from keyless.trust.lint import CODES, UNUSED_DAYS, LintFinding, Severity, lint

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: Verbs) -> None:
    """Add `lint`."""
    parser = verbs.add_parser("lint", help="find loose, unused and useless publishers")
    parser.set_defaults(handler=_lint)
    parser.add_argument("resource", metavar="RESOURCE", nargs="?", help="only of this one")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--ignore", metavar="CODE", action="append", default=[], choices=CODES, help="leave a rule out")
    parser.add_argument(
        "--unused-days",
        type=int,
        default=UNUSED_DAYS,
        metavar="N",
        help=f"days without use that are worth a thought (default {UNUSED_DAYS})",
    )
    add_store_arguments(parser, url=True)


def _lint(options: argparse.Namespace) -> int:
    if options.unused_days < 1:
        raise ConfigurationError("--unused-days must be at least 1")
    resource = None if options.resource is None else parse_resource(options.resource)
    with open_desk(options) as desk:
        issuers = {issuer.url: issuer for issuer in desk.issuers()}
        # Over the API a publisher comes without its issuer's number, so both ways it is looked up by the URL.
        publishers = [
            replace(publisher, issuer_id=issuers[publisher.issuer_url].id) for publisher in desk.publishers(resource)
        ]
        servers = desk.resource_servers()
    others = servers[1:]  # the first one is what `trust add` takes anyway
    found = lint(
        publishers,
        {issuer.id: issuer for issuer in issuers.values()},
        PROFILES,
        now=int(time.time()),
        unused_days=options.unused_days,
        resource_servers={server.audience: server.name for server in others},
    )
    found = [finding for finding in found if finding.code not in options.ignore]
    if options.json:
        print_json([_as_json(finding) for finding in found])
    else:
        for finding in found:
            print("\n".join(_lines(finding)))
        print(_summary(len(publishers), found))
    counted = {Severity.ERROR, Severity.WARNING} if options.strict else {Severity.ERROR}
    return EXIT_OTHER if any(finding.severity in counted for finding in found) else EXIT_OK


def _as_json(finding: LintFinding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "publisher": finding.publisher.id,
        "resource": str(finding.publisher.resource),
        "allows": finding.allows,
        "fix": finding.fix,
    }


def _lines(finding: LintFinding) -> list[str]:
    where = f"{finding.publisher.id} of {finding.publisher.resource.short}"
    return [
        visible(f"{finding.severity}: {finding.code}: {where}"),
        visible(f"    {finding.allows}"),
        visible(f"    fix: {finding.fix}"),
    ]


def _summary(publishers: int, found: list[LintFinding]) -> str:
    counts = Counter(finding.severity for finding in found)
    words = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.INFO: "notes"}
    return f"{publishers} publishers: {', '.join(f'{counts[severity]} {words[severity]}' for severity in Severity)}"
