"""The description of a publisher to add as JSON: what the API takes, and an entry of a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES
from keyless.oidc.issuer import ReplayMode
from keyless.resource import parse_resource
from keyless.server.representations.fields import Closed, Moment, Text, Url
from keyless.server.store.admin import NewPublisher
from keyless.server.store.admin.description import MAX_LIVE_TOKENS, MAX_TTL_SECONDS, MIN_TTL_SECONDS
from keyless.server.store.admin.rules import MAX_ALTERNATIVES, MAX_CONDITIONS
from keyless.trust.publisher import Operation

Values = Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_ALTERNATIVES)]


class PublisherTerms(Closed):
    """Say what a publisher demands of a job and what it gives; all but its resource and issuer may change.

    A claim has one value or a list of alternatives; a `*` in one makes it a pattern where the claim allows that.
    """

    claims: Annotated[Mapping[Text, Values], Field(max_length=MAX_CONDITIONS)] = {}
    pins: Annotated[Mapping[Text, Text], Field(max_length=MAX_CONDITIONS)] = {}
    pin_first_use: bool = False
    operations: Annotated[Sequence[Literal["read", "write", "create"]], Field(max_length=3)] = ()
    ttl_seconds: Annotated[int, Field(ge=MIN_TTL_SECONDS, le=MAX_TTL_SECONDS)] | None = None
    expires_at: Moment | None = None
    replay: Literal["once", "counted"] | None = None
    max_live_tokens: Annotated[int, Field(ge=0, le=MAX_LIVE_TOKENS)] | None = None
    max_grants_per_hour: Annotated[int, Field(ge=0, le=10**9)] | None = None
    max_run_attempt: Annotated[int, Field(ge=1, le=10**6)] | None = None

    def terms(self, names: Iterable[str]) -> dict[str, Any]:
        """Return some of what is said, as `NewPublisher` takes it."""
        said: dict[str, Any] = {
            "claims": {claim: [value] if isinstance(value, str) else value for claim, value in self.claims.items()},
            "pins": self.pins,
            "pin_first_use": self.pin_first_use,
            "operations": [Operation(name) for name in self.operations],
            "ttl_seconds": self.ttl_seconds,
            "expires_at": self.expires_at,
            "replay": None if self.replay is None else ReplayMode(self.replay),
            "max_live_tokens": self.max_live_tokens,
            "max_grants_per_hour": self.max_grants_per_hour,
            "max_run_attempt": self.max_run_attempt,
        }
        return {name: said[name] for name in names if name in said}


class PublisherDescription(PublisherTerms):
    """Describe a publisher to add, as `keyless trust add` takes it."""

    resource: Text
    provider: Text | None = None
    issuer: Url | None = None
    resource_server: Text | None = None
    pending: bool = False

    def issuer_url(self) -> str:
        """Return the issuer that is meant.

        Raises:
            ConfigurationError: None is named, or two, or a provider that has none of its own.
        """
        if (self.provider is None) == (self.issuer is None):
            raise ConfigurationError("name a provider or an issuer, and not both")
        return self.issuer or provider_url(self.provider or "")

    def new_publisher(self) -> NewPublisher:
        """Return what administration takes.

        Raises:
            ConfigurationError: The resource or the issuer cannot be.
        """
        return NewPublisher(
            resource=parse_resource(self.resource),
            issuer_url=self.issuer_url(),
            resource_server=self.resource_server,
            pending=self.pending,
            **self.terms(PublisherTerms.model_fields),
        )


def new_publisher_json(new: NewPublisher) -> dict[str, object]:
    """Return the description that says the same, without what is left open."""
    members: dict[str, object] = {
        "resource": str(new.resource),
        "issuer": new.issuer_url,
        **publisher_terms_json(new),
        "resource_server": new.resource_server,
        "pending": new.pending,
    }
    return {name: value for name, value in members.items() if value is not None}


def publisher_terms_json(new: NewPublisher) -> dict[str, object]:
    """Return what may change of a publisher, all of it: what is `null` is taken back."""
    return {
        "claims": {claim: list(values) for claim, values in new.claims.items()},
        "pins": dict(new.pins),
        "pin_first_use": new.pin_first_use,
        "operations": [operation.value for operation in new.operations],
        "ttl_seconds": new.ttl_seconds,
        "expires_at": new.expires_at,
        "replay": None if new.replay is None else new.replay.value,
        "max_live_tokens": new.max_live_tokens,
        "max_grants_per_hour": new.max_grants_per_hour,
        "max_run_attempt": new.max_run_attempt,
    }


def provider_url(provider: str) -> str:
    """Return the issuer that everybody means by a provider's name.

    Raises:
        ConfigurationError: There is no such provider, or it has an issuer for each customer.
    """
    profile = PROFILES.get(provider)
    if profile is None or profile.default_url is None:
        known = ", ".join(kind for kind, found in PROFILES.items() if found.default_url is not None)
        raise ConfigurationError(
            f"provider {provider!a} has no issuer of its own", hint=f"Name the issuer's URL, or one of: {known}."
        )
    return profile.default_url
