"""What a provider says about itself (OpenID Connect Discovery 1.0 section 3), held against the operator's record.

People's browsers go to two of these addresses and we to two others, so each must be https (or loopback where the record
says so), and none may name a port that the record does not (S04). Unlike a CI issuer's, they may be on other hosts:
Google's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyless.errors import ConfigurationError, TransportError
from keyless.http.guarded import parse_url
from keyless.oidc.discovery import Fetcher, fetch_document
from keyless.oidc.issuer import Issuer
from keyless.oidc.issuer_url import check_jwks_uri

_METHODS: Final = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """Hold what we use of it.

    Attributes:
        names_itself: Its answers carry `iss` (RFC 9207), so one without is not its own.
        secret_method: How it wants to be shown our secret.
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    names_itself: bool
    secret_method: str


def fetch_metadata(fetcher: Fetcher, issuer: Issuer) -> ProviderMetadata:
    """Fetch and check the document.

    Raises:
        TransportError: There is no usable one: an outage, or (`retryable=False`) one that contradicts the record.
    """
    document = fetch_document(fetcher, issuer)
    port = parse_url(issuer.url).port
    methods = document.get("token_endpoint_auth_methods_supported")
    known = [name for name in _METHODS if isinstance(methods, list) and name in methods]
    ends = document.get("end_session_endpoint")
    return ProviderMetadata(
        authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer, port),
        token_endpoint=_endpoint(document, "token_endpoint", issuer, port),
        jwks_uri=_endpoint(document, "jwks_uri", issuer, port),
        end_session_endpoint=None if ends is None else _endpoint(document, "end_session_endpoint", issuer, port),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        secret_method=known[0] if known else _METHODS[0],  # the default of Discovery, section 3
    )


def _endpoint(document: Mapping[str, object], name: str, issuer: Issuer, port: int) -> str:
    value = document.get(name)
    try:
        if not isinstance(value, str):
            raise ConfigurationError(name)
        check_jwks_uri(value, issuer.network)
        if parse_url(value).port not in {443, port}:
            raise ConfigurationError(name)
    except (ConfigurationError, ValueError):
        raise TransportError(
            f"the {name} of {issuer.url} is missing, or not a URL that we would use for it", retryable=False
        ) from None
    return value
