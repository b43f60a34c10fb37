"""Where an issuer publishes its keys (OpenID Connect Discovery 1.0 section 4; K09, K10).

The document is the issuer's word about itself, so two things in it are held against the operator's record: its name,
and that the keys live on the same host. Google is the known exception to the second: its record pins `jwks_uri`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from keyless.errors import ConfigurationError, MalformedTokenError, TransportError
from keyless.http.deadline import Deadline
from keyless.http.guarded import MAX_BYTES, Fetched, parse_url
from keyless.jose.json import parse_json_object
from keyless.oidc.issuer import Issuer, Network
from keyless.oidc.issuer_url import check_issuer_url, check_jwks_uri

WELL_KNOWN: Final = "/.well-known/openid-configuration"
_MAX_LISTED: Final = 256  # entries kept of a list that is only shown to operators


class Fetcher(Protocol):
    """Fetch one document; `keyless.http.guarded.GuardedFetcher` is the real one."""

    def fetch(
        self,
        url: str,
        *,
        network: Network,
        deadline: Deadline | None = None,
        operator_port: int | None = None,
        etag: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Fetched:
        """Fetch `url`; see `GuardedFetcher.fetch`."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """Hold what we use of a discovery document; `claims_supported` only helps an operator (S08)."""

    issuer: str
    jwks_uri: str
    claims_supported: tuple[str, ...] = ()


def discovery_url(issuer_url: str) -> str:
    """Return the address of the discovery document (OpenID Connect Discovery 1.0 section 4.1).

    A single trailing slash of the issuer is not doubled.
    """
    return issuer_url.removesuffix("/") + WELL_KNOWN


def operator_port(issuer: Issuer) -> int:
    """Return the port that the operator's record names: that of the pinned key-set URL, else the issuer's (S04)."""
    return parse_url(issuer.jwks_uri or issuer.url).port


def fetch_discovery(fetcher: Fetcher, issuer: Issuer, *, deadline: Deadline | None = None) -> Discovery:
    """Fetch and check an issuer's discovery document.

    Args:
        fetcher: The guarded fetcher.
        issuer: The operator's record; nothing of a token takes part (S01).
        deadline: Budget of the caller.

    Raises:
        ConfigurationError: The record itself breaks the grammar of issuers (S02).
        TransportError: No usable document: an outage, or (`retryable=False`) one that contradicts the record. The
            text holds nothing from the document (S06).
    """
    document = fetch_document(fetcher, issuer, deadline=deadline)
    listed = document.get("claims_supported")
    claims = tuple(claim for claim in listed if isinstance(claim, str)) if isinstance(listed, list) else ()
    return Discovery(issuer.url, _checked_jwks_uri(document.get("jwks_uri"), issuer), claims[:_MAX_LISTED])


def fetch_document(fetcher: Fetcher, issuer: Issuer, *, deadline: Deadline | None = None) -> Mapping[str, object]:
    """Fetch an issuer's discovery document, of which nothing is checked yet but that it is the issuer's.

    Raises:
        ConfigurationError: As `fetch_discovery`.
        TransportError: As `fetch_discovery`.
    """
    check_issuer_url(issuer.url, issuer.network)
    port = parse_url(issuer.url).port
    fetched = fetcher.fetch(discovery_url(issuer.url), network=issuer.network, deadline=deadline, operator_port=port)
    try:
        document = parse_json_object(fetched.body or b"")
    except MalformedTokenError:
        raise TransportError(f"the discovery document of {issuer.url} is not a JSON object", retryable=False) from None
    if document.get("issuer") != issuer.url:
        raise TransportError(
            f"the discovery document of {issuer.url} names another issuer",
            retryable=False,
            hint="The record must spell the issuer exactly as its tokens do, with or without a trailing slash.",
        )
    return document


def find_jwks_uri(fetcher: Fetcher, issuer: Issuer, *, deadline: Deadline | None = None) -> str:
    """Return where the issuer's keys are: as pinned by the operator, else as discovered.

    Raises:
        ConfigurationError: The record breaks the grammar.
        TransportError: See `fetch_discovery`.
    """
    if issuer.jwks_uri is not None:
        check_jwks_uri(issuer.jwks_uri, issuer.network)
        return issuer.jwks_uri
    return fetch_discovery(fetcher, issuer, deadline=deadline).jwks_uri


def _checked_jwks_uri(value: object, issuer: Issuer) -> str:
    if not isinstance(value, str):
        raise TransportError(f"the discovery document of {issuer.url} has no jwks_uri", retryable=False)
    try:
        check_jwks_uri(value, issuer.network)
    except ConfigurationError:
        raise TransportError(
            f"the jwks_uri of {issuer.url} is not a URL we would fetch for this issuer", retryable=False
        ) from None
    # The same host and port, not the same prefix: GitHub's enterprise issuers publish their keys at the root (K09).
    if parse_url(value).authority != parse_url(issuer.url).authority:
        raise TransportError(
            f"the jwks_uri of {issuer.url} is on another host or port",
            retryable=False,
            hint="If that is right (Google does it), pin the jwks_uri in the issuer's record.",
        )
    return value
