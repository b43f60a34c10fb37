"""What an operator says about the identity provider that people sign in with: the table `[sign_in]` of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from keyless.errors import Error
from keyless.jose.algorithms import ALGORITHMS
from keyless.server.people.role_claim import parse_role_word


def is_plain(text: str) -> bool:
    """Tell whether a text is printable ASCII without spaces, as an audience or a scope is."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


class SignInSettings(BaseModel):
    """Hold what an operator says about the identity provider that people sign in with."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str = Field(description="The provider's issuer URL, exactly as its discovery document spells it.")
    client_id: str = Field(min_length=1, max_length=255, description="What it knows us by.")
    client_secret_file: Path = Field(description="Private file with our secret there.")
    name: str | None = Field(default=None, max_length=60, description="What the button calls it; else its host name.")
    scopes: tuple[str, ...] = Field(default=("openid", "profile"), description="Asked for; `openid` is among them.")
    algorithms: tuple[str, ...] = Field(default=("RS256",), description="With which its id tokens may be signed.")
    network: str = Field(default="public", description="Where it is: public, loopback, private=CIDR or proxy=URL,HOST.")
    name_claim: str = Field(default="preferred_username", description="What the audit calls somebody who is new.")
    roles_claim: str = Field(description="The claim of the id token whose values give roles.")
    roles: dict[str, tuple[str, ...]] = Field(
        description="Its values -> admin, auditor, owner:NAMESPACE, viewer:NAMESPACE; whoever has none is refused."
    )

    @field_validator("client_id")
    @classmethod
    def _client_id(cls, value: str) -> str:
        if not is_plain(value):
            raise ValueError("must be plain ASCII without spaces")
        return value

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value or not all(map(is_plain, value)):
            raise ValueError("must hold openid, and words without spaces")
        return value

    @field_validator("algorithms")
    @classmethod
    def _algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or set(value) - ALGORITHMS:
            raise ValueError(f"must be some of {', '.join(sorted(ALGORITHMS))}")
        return value

    @field_validator("roles")
    @classmethod
    def _roles(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for words in value.values():
            for word in words:
                try:
                    parse_role_word(word)
                except Error as error:
                    raise ValueError(f"{error} {error.hint or ''}".strip()) from None
        return value
