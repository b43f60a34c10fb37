"""From a token's claims to the page of the CI run. Pure.

The claims are a stranger's: a link is made only of an issuer's own host and of names and numbers of a plain grammar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}(?:/[A-Za-z0-9_.-]{1,100}){1,8}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_SHA: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)
GITHUB: Final = "https://token.actions.githubusercontent.com"


def run_url(issuer: str | None, claims: Mapping[str, str]) -> str | None:
    """Return the address of the run, or `None` where the platform's addresses are not known."""
    base = _base(issuer)
    if base is None:
        return None
    repository, run = claims.get("repository", ""), claims.get("run_id", "")
    if _NAME.fullmatch(repository) and _NUMBER.fullmatch(run) and ".." not in repository:
        return f"{base}/{repository}/actions/runs/{run}"
    project, pipeline = claims.get("project_path", ""), claims.get("pipeline_id", "")
    if _NAME.fullmatch(project) and _NUMBER.fullmatch(pipeline) and ".." not in project:
        return f"{base}/{project}/-/pipelines/{pipeline}"
    return None


def commit_url(issuer: str | None, claims: Mapping[str, str]) -> str | None:
    """Return the address of the commit, or `None`."""
    base, sha = _base(issuer), claims.get("sha", "")
    if base is None or not _SHA.fullmatch(sha):
        return None
    for name, infix in (("repository", "commit"), ("project_path", "-/commit")):
        place = claims.get(name, "")
        if _NAME.fullmatch(place) and ".." not in place:
            return f"{base}/{place}/{infix}/{sha}"
    return None


def _base(issuer: str | None) -> str | None:
    """Return where the platform's own pages are; an issuer on another host is asked nothing about."""
    if issuer is None:
        return None
    if issuer == GITHUB or issuer.startswith(f"{GITHUB}/"):
        return "https://github.com"
    parts = urlsplit(issuer)
    if parts.scheme not in {"https", "http"} or not parts.netloc or "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc}"
