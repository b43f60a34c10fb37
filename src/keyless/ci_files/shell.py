"""Everywhere else: a script, and a token from a variable, a file, a command or the SPIFFE workload API."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from keyless.ci_files.job import CiFile, Job


def write_spiffe(job: Job) -> CiFile:
    """Return a script for a workload with a SPIFFE identity."""
    lines = ['export SPIFFE_ENDPOINT_SOCKET="${SPIFFE_ENDPOINT_SOCKET:-unix:///run/spire/agent/public/api.sock}"']
    before = (
        "Register the workload with the SPIRE server, and put spire-agent on the job's PATH.",
        "The trust domain's OIDC discovery provider is the issuer to add to the service.",
    )
    return _script(job, lines, before)


def write_other(job: Job) -> CiFile:
    """Return a script for a platform that hands its id token over in a variable."""
    lines = [': "${KEYLESS_ID_TOKEN:?put the id token of this job into KEYLESS_ID_TOKEN}"']
    before = (
        (
            f"Have the platform make an id token with the audience {job.audience}, and map it to KEYLESS_ID_TOKEN"
            " (or name a file in KEYLESS_ID_TOKEN_FILE, or a command in KEYLESS_ID_TOKEN_COMMAND)."
        ),
    )
    return _script(job, lines, before)


def _script(job: Job, lines: Sequence[str], before: tuple[str, ...]) -> CiFile:
    endpoint = [f"export HF_ENDPOINT={shlex.quote(job.endpoint)}"] if job.needs_endpoint else []
    text = "\n".join(["#!/bin/sh", "set -eu", *lines, *endpoint, *job.commands()])
    return CiFile("ci/publish.sh", text + "\n", before)
