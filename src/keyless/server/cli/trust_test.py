"""`keyless trust test FILE`: a table of jobs and what each must get, checked against the store."""

from __future__ import annotations

import argparse
import time
import tomllib
from typing import TYPE_CHECKING

from keyless.cli.output import EXIT_OK, EXIT_OTHER
from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.resource import Resource
from keyless.server.cli.store_access import add_store_arguments, print_json
from keyless.server.cli.trust_snapshot import open_snapshot, read_input, read_json_object
from keyless.server.representations.explanation import explanation_json
from keyless.server.representations.new_publisher import provider_url
from keyless.trust.claim_table import Job, Result, check, read_table
from keyless.trust.explain import Explanation

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: Verbs) -> None:
    """Add `test`."""
    parser = verbs.add_parser("test", help="check which jobs are accepted against a table of them")
    parser.set_defaults(handler=_test)
    parser.add_argument("file", metavar="FILE", help="the table: TOML, or JSON when its name ends in .json")
    add_store_arguments(parser)


def _test(options: argparse.Namespace) -> int:
    jobs = read_table(_read(options.file))
    urls = {job.name: job.issuer or provider_url(job.provider or "") for job in jobs}
    now = int(time.time())
    with open_snapshot(options) as snapshot:

        def explain(job: Job, resource: Resource) -> Explanation:
            return snapshot.explain(resource, urls[job.name], job.claims, now=now)

        results = check(jobs, explain)
    met = sum(result.met for result in results)
    if options.json:
        print_json({"met": met == len(results), "results": [_as_json(result) for result in results]})
    else:
        for result in results:
            print("\n".join(_lines(result)))
        print(f"{met} of {len(results)} expectations are met")
    return EXIT_OK if met == len(results) else EXIT_OTHER


def _read(path: str) -> dict[str, object]:
    if path.endswith(".json"):
        return read_json_object(path)
    try:
        return tomllib.loads(read_input(path).decode("utf-8"))
    except ValueError as error:  # also of the decoding
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


def _as_json(result: Result) -> dict[str, object]:
    return {
        "job": result.job.name,
        "met": result.met,
        "differences": list(result.differences),
        **explanation_json(result.expected.resource, result.explanation),
    }


def _lines(result: Result) -> list[str]:
    where = f"{result.job.name} at {result.expected.resource.short}"
    if result.met:
        return [visible(f"ok      {where}: {'accepted' if result.explanation.accepted else 'refused'}")]
    lines = [f"FAILED  {where}", *(f"          {difference}" for difference in result.differences)]
    if not result.explanation.accepted and result.explanation.publishers:
        nearest = result.explanation.publishers[0]
        lines += [
            f"          {nearest.publisher.id}: {item.claim} is"
            f" {'absent' if item.received is None else repr(item.received)}, expected {item.expected}"
            for item in nearest.findings
            if not item.matches
        ]
    return [visible(line) for line in lines]
