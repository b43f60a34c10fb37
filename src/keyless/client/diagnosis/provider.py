"""Which CI platform this is, which others were near, and why it gives no id token.

Reads variables, and on GitHub the file that describes the event; no network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from keyless.client.diagnosis import ci_file
from keyless.client.diagnosis.check import Cause, Check, failed, failed_by, ok
from keyless.errors import OIDCError, ProviderNotFoundError
from keyless.providers import github
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.detect import ORDER, find_mint
from keyless.providers.handed_over import NAME as HANDED_OVER

PROVIDER: Final = "provider"
_MAX_EVENT_BYTES: Final = 8_388_608  # GitHub's events have 10-200 kB; a push with many commits more

# Platforms that give jobs no id token, or none that we know of: their marker and their name.
_UNSUPPORTED: Final = (
    ("ACT", "act"),
    ("APPVEYOR", "AppVeyor"),
    ("CIRRUS_CI", "Cirrus CI"),
    ("CI_PIPELINE_FORGE_URL", "Woodpecker"),
    ("DRONE", "Drone"),
    ("TEAMCITY_VERSION", "TeamCity"),
    ("TRAVIS", "Travis CI"),
)
_UNNATIVE_FIX: Final = (
    "Put the job's id token, with the audience AUDIENCE, into a variable:\n    export HF_OIDC_ID_TOKEN=…"
)
_OUTSIDE_FIX: Final = (
    "Run this inside the CI job that publishes. On GitHub the job needs:\n"
    "    permissions:\n      id-token: write\n      contents: read\n"
    "On GitLab:\n    id_tokens:\n      HF_OIDC_ID_TOKEN:\n        aud: AUDIENCE"
)


def check_provider(environ: Mapping[str, str], audience: str) -> tuple[Check, CanMint | None]:
    """Say which platform gives the id token and what else was seen; the way to mint too, when there is one."""
    try:
        found = find_mint(environ, audience)
    except OIDCError as error:
        return _cannot(environ, audience, error), None
    title = _title(found.provider)
    if found.provider == HANDED_OVER:
        seen = f"an id token handed over in {found.variables[0]}"
    elif found.mints_anew:
        seen = f"{title}; the job can have id tokens"
    else:
        seen = f"{title}; the job's id token is in {found.variables[0]}"
    return ok(PROVIDER, _with_near(seen, environ, audience, found.provider)), found


def _title(name: str) -> str:
    return next(provider.TITLE for provider in ORDER if name == provider.NAME)


def _with_near(seen: str, environ: Mapping[str, str], audience: str, chosen: str) -> str:
    near = near_platforms(environ, audience, chosen)
    return f"{seen} (also seen: {', '.join(near)})" if near else seen


def near_platforms(environ: Mapping[str, str], audience: str, chosen: str) -> list[str]:
    """Return the platforms whose markers are there but which were not chosen, each with what is known about it."""
    near = []
    for provider in ORDER:
        if chosen == provider.NAME:
            continue
        found = provider.detect(environ, audience)
        if found is None:
            continue
        if chosen == HANDED_OVER:  # the platform's own way does not matter, unless it would be the better one
            near.append(f"{provider.TITLE}{', which could mint' if isinstance(found, CanMint) else ''}")
        else:
            near.append(f"{provider.TITLE}{', which cannot mint' if isinstance(found, CannotMint) else ''}")
    near += [title for marker, title in _UNSUPPORTED if environ.get(marker)]
    if environ.get("GITEA_ACTIONS") and not environ.get("FORGEJO_ACTIONS"):  # Forgejo sets both
        near.append("Gitea Actions")
    for marker in ("GITHUB_ACTIONS", "GITLAB_CI"):
        value = environ.get(marker)
        if value and value != "true":
            near.append(f"{marker}={value[:20]!r}, which the platform itself sets to 'true'")
    return near


def _cannot(environ: Mapping[str, str], audience: str, error: OIDCError) -> Check:
    if isinstance(error, ProviderNotFoundError):
        return _none_found(environ, audience, error)
    name = next((p.NAME for p in ORDER if isinstance(p.detect(environ, audience), CannotMint)), None)
    if name == github.NAME:
        return _github_cannot(environ, audience, error)
    seen = _with_near("not asked" if name is None else _title(name), environ, audience, name or "")
    return failed_by(PROVIDER, seen, error, otherwise=_fill(_UNNATIVE_FIX, audience))


def _none_found(environ: Mapping[str, str], audience: str, error: ProviderNotFoundError) -> Check:
    seen = _with_near("no CI platform that keyless mints from", environ, audience, "")
    fix = f"{_fill(_UNNATIVE_FIX, audience)}\n{error.hint or ''}"
    problem = "the job can get no id token here, and none was handed over"
    if not any(environ.get(marker) for marker in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", *dict(_UNSUPPORTED))):
        problem = "this does not look like a CI job, and no id token was handed over"
        fix = f"{_fill(_OUTSIDE_FIX, audience)}\n{error.hint or ''}"
    return failed(PROVIDER, seen, problem, fix.rstrip(), cause=Cause.PROVIDER)


def _fill(fix: str, audience: str) -> str:
    return fix.replace("AUDIENCE", audience)


# --- GitHub ----------------------------------------------------------------------------------------------------------


def _github_cannot(environ: Mapping[str, str], audience: str, error: OIDCError) -> Check:
    event = environ.get("GITHUB_EVENT_NAME", "")
    seen = _with_near(f"{github.TITLE}{f', event {event}' if event else ''}", environ, audience, github.NAME)
    missing = [name for name in github.VARIABLES if not environ.get(name, "").strip()]
    if len(missing) == 1:
        return failed(
            PROVIDER,
            seen,
            f"{missing[0]} is missing, though the job may mint: somebody passed on only one of the two variables",
            "Give a container that is started by hand both:\n    docker run "
            + " ".join(f"-e {name}" for name in github.VARIABLES)
            + " …",
            cause=Cause.PROVIDER,
        )
    stranger = _stranger(environ)
    if stranger is not None:
        return failed(
            PROVIDER,
            seen,
            f"{stranger}: GitHub never lets such a run have an id token, whatever its permissions: say",
            ci_file.change_events(),
            cause=Cause.PROVIDER,
        )
    return failed_by(PROVIDER, seen, error, otherwise=_fill(_OUTSIDE_FIX, audience))


def _stranger(environ: Mapping[str, str]) -> str | None:
    """Return who started a run that cannot have a token, or `None` where the permission is what is missing."""
    if environ.get("GITHUB_ACTOR") == "dependabot[bot]":
        return "this run was started by Dependabot"
    if not environ.get("GITHUB_EVENT_NAME", "").startswith("pull_request"):
        return None
    head, base = (_repository_of(environ, side) for side in ("head", "base"))
    if base is None or head == base:
        return None
    return f"this run is for a pull request from the fork {head or '(deleted)'}"


def _repository_of(environ: Mapping[str, str], side: str) -> str | None:
    """Return the repository of one side of the pull request, as the event's file has it ("Webhook events": `repo`)."""
    try:
        path = Path(environ.get("GITHUB_EVENT_PATH", ""))
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_EVENT_BYTES))
        for name in ("pull_request", side, "repo", "full_name"):
            value = value[name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if isinstance(value, str) else None
