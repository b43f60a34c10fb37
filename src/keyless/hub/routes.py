"""Which handler answers which address.

Not a framework's router: those match the decoded path, where `refs%2Fpr%2F1` has become three segments.
"""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from keyless.hub.api import accounts, files, references, repositories, uploads
from keyless.hub.call import NO_PULL_REQUESTS, Call, Handler, type_of
from keyless.hub.errors import HubError, bad_request, not_found

_READ = frozenset({"GET", "HEAD"})


def route(method: str, segments: tuple[str, ...]) -> Handler:
    """Return the handler of a request.

    Args:
        method: HTTP method.
        segments: The path as `names.split_path` gives it.

    Raises:
        HubError: 404 no such address; 405 not with this method; 400 not a repository's name.
    """
    match segments:
        case ("api", "agent-harnesses"):
            return _only("GET", method, accounts.agent_harnesses)
        case ("api", "whoami-v2"):
            return _only("GET", method, accounts.whoami)
        case ("api", "validate-yaml"):
            return _only("POST", method, accounts.validate_yaml)
        case ("api", "repos", "create"):
            return _only("POST", method, repositories.create)
        case ("api", "repos", "delete"):
            return _only("DELETE", method, repositories.delete)
        case ("api", plural):
            return _only("GET", method, partial(repositories.list_all, type_=type_of(plural)))
        case ("api", plural, namespace, name, *rest):
            type_of(plural)
            return _route_repository(method, plural, (namespace, name), tuple(rest))
        case (("datasets" | "spaces") as plural, namespace, name, "resolve", revision, *path) if path:
            return _route_resolve(method, plural, (namespace, name), revision, "/".join(path))
        case (namespace, name, "resolve", revision, *path) if path:
            return _route_resolve(method, "models", (namespace, name), revision, "/".join(path))
        case _:
            raise not_found("This hub has no such address")


def _route_resolve(method: str, plural: str, repo: tuple[str, str], revision: str, path: str) -> Handler:
    resource = repositories.parse_name(plural, *repo)
    if method not in _READ:
        raise _wrong_method("GET, HEAD")
    return partial(files.resolve, resource=resource, revision=revision, path=path)


def _route_repository(method: str, plural: str, repo: tuple[str, str], rest: tuple[str, ...]) -> Handler:
    resource = repositories.parse_name(plural, *repo)
    match rest:
        case ():
            return _only("GET", method, partial(repositories.info, resource=resource, revision="main"))
        case ("revision", revision):
            return _only("GET", method, partial(repositories.info, resource=resource, revision=revision))
        case ("tree", revision, *folder):
            listed = partial(files.tree, resource=resource, revision=revision, folder="/".join(folder))
            return _only("GET", method, listed)
        case ("paths-info", revision):
            return _only("POST", method, partial(files.paths_info, resource=resource, revision=revision))
        case ("refs",):
            return _only("GET", method, partial(references.list_refs, resource=resource))
        case ("commits", revision):
            return _only("GET", method, partial(references.list_commits, resource=resource, revision=revision))
        case ("preupload", revision):
            return _only("POST", method, partial(uploads.preupload, resource=resource, revision=revision))
        case ("commit", revision):
            return _only("POST", method, partial(uploads.commit, resource=resource, revision=revision))
        case ("branch", name):
            return _only("POST", method, partial(references.create_branch, resource=resource, name=name))
        case ("tag", revision):
            return _only("POST", method, partial(references.create_tag, resource=resource, revision=revision))
        case ("discussions", *_):
            return _no_pull_requests
        case _:
            raise not_found("This hub has no such address")


async def _no_pull_requests(_call: Call) -> Response:
    raise bad_request(NO_PULL_REQUESTS)


def _only(allowed: str, method: str, handler: Handler) -> Handler:
    if method != allowed and not (allowed == "GET" and method == "HEAD"):
        raise _wrong_method(allowed)
    return handler


def _wrong_method(allowed: str) -> HubError:
    return HubError(f"This address answers {allowed} only", status=405, headers={"Allow": allowed})
