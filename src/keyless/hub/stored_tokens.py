"""Stored tokens of the hub's own, beside those of trusted publishers: what teams come from, and how it ends (T101).

A file holds their hashes. A token is good for one repository, until the token service says that the repository takes
tokens of trusted publishers only.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError, ResourceSyntaxError
from keyless.hub.errors import forbidden
from keyless.hub.identity import AccessToken, TokenVerifier
from keyless.resource import Resource, parse_resource

OPERATIONS: Final = frozenset({"read", "write", "create"})
_MEMBERS: Final = {"sha256", "name", "resource", "operations"}


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Say what one stored token is good for; it stands for a person or a machine by `ci_subject`."""

    resource: Resource
    operations: frozenset[str]
    ci_subject: str
    publisher_id: str = ""
    ci_issuer: str = "stored"


class StoredTokens:
    """Accept stored tokens too, but not for a resource that takes tokens of trusted publishers only.

    Args:
        verifier: For all other tokens.
        tokens: By the SHA-256 of the token, in hex.
        publishers_only: Asks the token service; raises `UnavailableError` without an answer.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        tokens: Mapping[str, StoredToken],
        publishers_only: Callable[[Resource], bool],
    ) -> None:
        self._verifier = verifier
        self._tokens = tokens
        self._publishers_only = publishers_only

    def verify(self, token: str) -> AccessToken:
        """Return what a token says.

        Raises:
            HubError: 403: it is stored, and its resource takes none such.
            TokenError: It is not acceptable.
            UnavailableError: That could not be found out now.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        if (stored := self._tokens.get(digest)) is None:
            return self._verifier.verify(token)
        if self._publishers_only(stored.resource):
            raise forbidden(
                f"{stored.resource.short} takes tokens of trusted publishers only, not stored ones: "
                f"set HF_OIDC_RESOURCE={stored.resource.short} in the CI job"
            )
        return stored


def load_stored_tokens(path: Path) -> dict[str, StoredToken]:
    """Read stored tokens from TOML: tables `[[token]]` with `sha256`, `name`, `resource` and `operations`.

    Raises:
        ConfigurationError: The file cannot be read, or is something else.
    """
    try:
        entries = tomllib.loads(path.read_text()).get("token", [])
        tokens = dict(map(_entry, entries))
    except OSError as error:
        raise ConfigurationError(f"hub_tokens_file: {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, ResourceSyntaxError):
        raise ConfigurationError(
            f"hub_tokens_file: {path} is not tables [[token]] with sha256, name, resource and operations"
        ) from None
    return tokens


def _entry(entry: Mapping[str, object]) -> tuple[str, StoredToken]:
    digest, operations = str(entry["sha256"]), entry["operations"]
    if entry.keys() != _MEMBERS or len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
        raise ValueError
    if not isinstance(operations, list) or not OPERATIONS.issuperset(operations):
        raise ValueError
    resource = parse_resource(str(entry["resource"]))
    return digest.lower(), StoredToken(resource, frozenset(operations), str(entry["name"]))
