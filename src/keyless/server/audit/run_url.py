"""The page of the CI run that an event speaks of, from the claims it keeps. Pure.

Only where the platform's own claims name it. The issuer's URL gives the host, so a self-managed instance's page is its
own; every part is escaped, and nothing but http and https comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

Claims = Mapping[str, str]

_GITHUB_TOKENS: Final = "token.actions."
_GITHUB_COM: Final = "token.actions.githubusercontent.com"
_FORGEJO_PATH: Final = "/api/actions"
_CIRCLECI_WORKFLOW: Final = "oidc.circleci.com/workflow-id"


def run_url(kind: str, issuer: str, claims: Claims) -> str | None:
    """Return the address of a run's page, or `None` where it cannot be told.

    Args:
        kind: The issuer's claim profile.
        issuer: The issuer's URL.
        claims: The event's.
    """
    parts = urlsplit(issuer)
    if kind not in _PAGES or parts.scheme not in {"https", "http"} or not parts.netloc or "@" in parts.netloc:
        return None
    try:
        return _PAGES[kind](f"{parts.scheme}://{parts.netloc}", parts.path, claims)
    except (KeyError, ValueError):  # a claim that is needed is absent or is no name
        return None


def _path(claims: Claims, name: str, *, least: int = 1, most: int = 1) -> str:
    """Return a claim as the segments of a path, escaped.

    Raises:
        KeyError: It is absent.
        ValueError: It is no name of so many segments.
    """
    segments = claims[name].split("/")
    if not least <= len(segments) <= most or any(segment in {"", ".", ".."} for segment in segments):
        raise ValueError(name)
    return "/".join(quote(segment, safe="") for segment in segments)


def _github(origin: str, _path_of_issuer: str, claims: Claims) -> str:
    host = urlsplit(origin).netloc
    if host == _GITHUB_COM:
        origin = "https://github.com"
    elif host.startswith(_GITHUB_TOKENS):  # GHE.com: token.actions.SUBDOMAIN.ghe.com
        origin = f"https://{host.removeprefix(_GITHUB_TOKENS)}"
    page = f"{origin}/{_path(claims, 'repository', least=2, most=2)}/actions/runs/{_path(claims, 'run_id')}"
    return f"{page}/attempts/{_path(claims, 'run_attempt')}" if claims.get("run_attempt") else page


def _gitlab(origin: str, path: str, claims: Claims) -> str:
    # GitLab nests groups twenty deep (GitLab docs, "Subgroups").
    project = _path(claims, "project_path", least=2, most=22)
    return f"{origin}{path.rstrip('/')}/{project}/-/jobs/{_path(claims, 'job_id')}"


def _forgejo(origin: str, path: str, claims: Claims) -> str:
    root = f"{origin}{path.removesuffix(_FORGEJO_PATH)}"
    return f"{root}/{_path(claims, 'repository', least=2, most=2)}/actions/runs/{_path(claims, 'run_number')}"


def _buildkite(_origin: str, _path_of_issuer: str, claims: Claims) -> str:
    pipeline = f"{_path(claims, 'organization_slug')}/{_path(claims, 'pipeline_slug')}"
    return f"https://buildkite.com/{pipeline}/builds/{_path(claims, 'build_number')}"


def _circleci(_origin: str, _path_of_issuer: str, claims: Claims) -> str:
    return f"https://app.circleci.com/pipelines/workflows/{_path(claims, _CIRCLECI_WORKFLOW)}"


def _azure_devops(_origin: str, _path_of_issuer: str, claims: Claims) -> str:
    # The subject is p://ORGANISATION/PROJECT/PIPELINE (Azure DevOps docs, "workload identity federation").
    scheme, _, rest = claims["sub"].partition("://")
    organization, project, *_ = rest.split("/")
    if scheme != "p" or not organization or not project:
        raise ValueError("sub")
    where = f"{quote(organization, safe='')}/{quote(project, safe='')}"
    return f"https://dev.azure.com/{where}/_build/results?buildId={_path(claims, 'run_id')}"


_PAGES: Final[Mapping[str, Callable[[str, str, Claims], str]]] = {
    "github": _github,
    "gitlab": _gitlab,
    "forgejo": _forgejo,
    "buildkite": _buildkite,
    "circleci": _circleci,
    "azure-devops": _azure_devops,
}
