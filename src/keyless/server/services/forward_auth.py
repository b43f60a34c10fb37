"""Forward auth: may this request, which a proxy holds, go on to the hub or registry behind it?

The proxy's credential is its resource server's, so a token for another one is worth nothing here (T106). Each question
is answered from the store: a revocation counts at the next request (V20).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keyless.errors import InsufficientScopeError, MalformedTokenError, RequestError
from keyless.secret import Secret
from keyless.server.services.canonical_uri import canonical_path
from keyless.server.services.path_rules import PathRules, Rule
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.bearer import read_authorization


class NoRuleError(RequestError):
    """No rule names this method and path; answered with 403."""

    code = "no_rule"


class UnknownProxyError(RequestError):
    """The proxy's credential is wrong, or its resource server has no rules."""

    code = "proxy_unknown"


class MissingTokenError(MalformedTokenError):
    """The request needs a token and has none; answered with 401 and no error code (RFC 6750 section 3.1)."""

    code = "token_missing"


class Tokens(Protocol):
    """Where tokens are looked up."""

    def check(self, token: str, *, audience: str) -> VerifiedAccessToken:
        """Return the token if it is good for this resource server at this moment, or raise a `TokenError`."""


class ResourceServers(Protocol):
    """Who may ask."""

    def resource_server_audience(self, name: str, credential: Secret) -> str | None:
        """Return the audience of the resource server with this name and credential, or `None`."""


@dataclass(slots=True)
class HeldRequest:
    """What a proxy says about the request it holds: every header of the name, as it was sent.

    `audience` is filled in when the proxy is known: of the resource server in whose name it asks.
    """

    proxy: Sequence[str]
    authorization: Sequence[str]
    headers: Mapping[str, Sequence[str]]
    audience: str = ""


class ForwardAuth:
    """Decide about requests by the rules of their resource server.

    Args:
        rules: By name of the resource server.
        tokens: Live state of access tokens.
        servers: Knows credentials.
    """

    def __init__(self, rules: Mapping[str, PathRules], tokens: Tokens, servers: ResourceServers) -> None:
        self._rules = dict(rules)
        self._tokens = tokens
        self._servers = servers

    def check(self, request: HeldRequest) -> VerifiedAccessToken | None:
        """Return the token of a request that may go on; `None` when it needs none and has none. Blocks.

        Raises:
            UnknownProxyError: The proxy itself is not known.
            RequestError: The address has more than one reading, or no rule.
            TokenError: The token is missing, not good, or good for something else.
            UnavailableError: The store cannot tell.
        """
        rules, audience = self._authenticate(request.proxy)
        request.audience = audience
        path = canonical_path(_single(request.headers, rules.uri_header))
        found = rules.find(_single(request.headers, rules.method_header), path)
        if found is None:
            raise NoRuleError("no rule names this method and path")
        rule, variables = found
        token = read_authorization(request.authorization)
        if token is None:
            if rule.public:
                return None
            raise MissingTokenError("the request needs a token")
        verified = self._tokens.check(token, audience=audience)
        if not rule.public:
            _require(rule, variables, verified)
        return verified

    def _authenticate(self, values: Sequence[str]) -> tuple[PathRules, str]:
        name, _, credential = values[0].partition(":") if len(values) == 1 else ("", "", "")
        audience = self._servers.resource_server_audience(name, Secret(credential)) if credential else None
        rules = self._rules.get(name)
        if audience is None or rules is None:
            raise UnknownProxyError("the proxy's credential is wrong, or there are no rules for its resource server")
        return rules, audience


def _require(rule: Rule, variables: Mapping[str, str], token: VerifiedAccessToken) -> None:
    if rule.resources and {token.resource, *token.also}.isdisjoint(rule.resources_of(variables)):
        raise InsufficientScopeError("the token is good for another resource")
    if token.operations.isdisjoint(rule.operations):
        raise InsufficientScopeError("the token does not allow this operation")


def _single(headers: Mapping[str, Sequence[str]], name: str) -> str:
    values = headers.get(name, ())
    if len(values) != 1:  # one from the proxy and one from the client it serves would be a way round
        raise NoRuleError(f"the proxy must send exactly one {name} header")
    return values[0]
