"""The description of an issuer to add as JSON: what the API takes, and an entry of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES
from keyless.oidc.issuer import PinnedKeys, ReplayMode
from keyless.server.representations.fields import Closed, Moment, Text, Url
from keyless.server.store.admin import NewIssuer
from keyless.server.store.admin.issuers import MAX_LIFETIME_SECONDS
from keyless.server.store.records import network_text, parse_network

MAX_JWKS_CHARS: Final = 60_000


class PinnedKeysDescription(Closed):
    """Give the keys of an issuer that cannot be asked (K13)."""

    jwks: Annotated[str, Field(min_length=2, max_length=MAX_JWKS_CHARS)]
    expires_at: Moment


class IssuerDescription(Closed):
    """Describe an issuer to add, as `keyless trust issuer add` takes it."""

    url: Url
    kind: Text | None = None
    algorithms: Annotated[list[Text], Field(min_length=1, max_length=20)] | None = None
    network: Text = "public"
    replay: Literal["once", "counted"] | None = None
    max_lifetime_seconds: Annotated[int, Field(ge=60, le=MAX_LIFETIME_SECONDS)] | None = None
    jwks_uri: Url | None = None
    allow_multiple_audiences: bool = False
    immutable_claims: Annotated[Sequence[Text], Field(max_length=20)] = ()
    pinned_keys: PinnedKeysDescription | None = None

    def new_issuer(self) -> NewIssuer:
        """Return what administration takes.

        Raises:
            ConfigurationError: There is no such kind or network.
        """
        if self.kind is not None and self.kind not in PROFILES:
            known = ", ".join(sorted(PROFILES))
            raise ConfigurationError(f"kind {self.kind!a} is not known", hint=f"Kinds: {known}.")
        return NewIssuer(
            url=self.url,
            kind=self.kind,
            algorithms=self.algorithms,
            network=parse_network(self.network),
            replay=None if self.replay is None else ReplayMode(self.replay),
            max_lifetime_seconds=self.max_lifetime_seconds,
            jwks_uri=self.jwks_uri,
            allow_multiple_audiences=self.allow_multiple_audiences,
            immutable_claims=self.immutable_claims,
            pinned_keys=pinned_keys(self.pinned_keys),
        )


def pinned_keys(description: PinnedKeysDescription | None) -> PinnedKeys | None:
    """Return the keys that a description gives."""
    return None if description is None else PinnedKeys(description.jwks, description.expires_at)


def new_issuer_json(new: NewIssuer) -> dict[str, object]:
    """Return the description that says the same, without what is left open."""
    members: dict[str, object] = {
        "url": new.url,
        "kind": new.kind,
        "algorithms": None if new.algorithms is None else list(new.algorithms),
        "network": network_text(new.network),
        "replay": None if new.replay is None else new.replay.value,
        "max_lifetime_seconds": new.max_lifetime_seconds,
        "jwks_uri": new.jwks_uri,
        "allow_multiple_audiences": new.allow_multiple_audiences,
        "immutable_claims": list(new.immutable_claims),
        "pinned_keys": None
        if new.pinned_keys is None
        else {"jwks": new.pinned_keys.jwks, "expires_at": new.pinned_keys.expires_at},
    }
    return {name: value for name, value in members.items() if value is not None}
