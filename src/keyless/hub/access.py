"""Who may do what. Pure: an identity and a repository's switches in, nothing or a refusal out.

| caller                          | public | gated: files | private          | write, create                    |
|---------------------------------|--------|--------------|------------------|----------------------------------|
| anonymous                       | yes    | no           | no               | no                               |
| repository token, own           | yes    | yes          | yes              | if its operations say so         |
| repository token, any other     | yes    | no           | no               | no                               |
| user token                      | yes    | yes          | of its namespace | no                               |

A token without the operation `read` or `write` reads no more than anybody. `write` includes reading: an upload
compares before it sends. A private repository that the caller may not read does not exist for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from keyless.hub.errors import HubError, credentials_missing, forbidden, gated, repo_not_found
from keyless.hub.identity import AccessToken, Identity
from keyless.hub.store.repository import Repository, RepositoryInfo
from keyless.resource import Resource


def may_see(identity: Identity, info: RepositoryInfo) -> bool:
    """Tell whether the caller may know of a repository and its list of files."""
    return not info.private or _owns(identity, info.resource) or _is_account_of(identity, info.resource)


def require_visible(identity: Identity, resource: Resource, repository: Repository | None) -> Repository:
    """Return the repository if the caller may know of it.

    Raises:
        HubError: 404 `RepoNotFound`, the same for absent and for private.
    """
    if repository is None or not may_see(identity, repository.info()):
        raise repo_not_found(resource)
    return repository


def require_files(identity: Identity, info: RepositoryInfo) -> None:
    """Check that the caller may read the contents of a visible repository.

    Raises:
        HubError: 401 or 403 `GatedRepo`.
    """
    reads_as_user = identity.is_user and _reads(identity)
    if info.gated and not reads_as_user and not _owns(identity, info.resource):
        raise gated(info.resource, anonymous=identity.is_anonymous)


def require_operation(identity: Identity, resource: Resource, operation: str) -> AccessToken:
    """Return the caller's token if it may write to or create a repository, whether or not that exists.

    Decided before anything is looked up, so the answer to a stranger tells nothing about the repository (T94).

    Raises:
        HubError: 401 anonymous, 403 a token that is good for something else.
    """
    token = identity.token
    if token is None:
        raise credentials_missing(
            f"A token is needed to {operation} {resource.short}: set HF_OIDC_RESOURCE in the CI job"
        )
    if identity.is_user:
        raise forbidden(
            f"This token stands for the user {token.resource.short} and can only read. "
            f"To write, ask for a token of the repository: HF_OIDC_RESOURCE={resource.short}"
        )
    if token.resource != resource:
        raise forbidden(
            f"This token is good for {token.resource.short} only, not for {resource.short}. "
            f"Set HF_OIDC_RESOURCE={resource.short} for this step"
        )
    if operation not in token.operations:
        raise _operation_missing(resource, operation)
    return token


def require_any_operation(identity: Identity, resource: Resource, operations: Sequence[str]) -> AccessToken:
    """Return the caller's token if it allows at least one of several operations; see `require_operation`."""
    allowed = (operation for operation in operations if _has(identity, operation))
    return require_operation(identity, resource, next(allowed, operations[0]))


def _operation_missing(resource: Resource, operation: str) -> HubError:
    return forbidden(
        f"This token may not {operation} {resource.short}: its trusted publisher does not allow '{operation}'"
    )


def _has(identity: Identity, operation: str) -> bool:
    return identity.token is not None and operation in identity.token.operations


def _reads(identity: Identity) -> bool:
    return _has(identity, "read") or _has(identity, "write")


def _owns(identity: Identity, resource: Resource) -> bool:
    return identity.token is not None and identity.token.resource == resource and _reads(identity)


def _is_account_of(identity: Identity, resource: Resource) -> bool:
    return (
        identity.is_user
        and identity.token is not None
        and identity.token.resource.namespace == resource.namespace
        and _reads(identity)
    )
