"""What an operator chooses: one TOML file, and `KEYLESS_…` environment variables that win over it.

A wrong value stops the start: the error names the setting, what is wrong and where it was set, never a secret.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PlainSerializer,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from keyless.errors import ConfigurationError
from keyless.secret import Secret
from keyless.server.database_url import PostgresUrl, parse_location
from keyless.server.sign_in_settings import SignInSettings, is_plain

PREFIX: Final = "KEYLESS_"
_PATHS: Final = (
    *("database", "key_encryption_key_file", "checkpoint_key_file", "checkpoint_file", "hub_directory"),
    *("hub_tokens_file", "forward_auth", "policy_directory"),
)
CONFIG_VARIABLE: Final = "KEYLESS_CONFIG"
MAX_CONFIG_BYTES: Final = 1 << 20
# The real Hub client exchanges again on every call when a token lives no longer than this (D7).
SHORT_TOKEN_TTL_SECONDS: Final = 300

# Audiences that other services use too: an id token made for one of them must not be good here (T43).
GENERIC_HOSTS: Final = frozenset(
    {"github.com", "gitlab.com", "api.github.com", "token.actions.githubusercontent.com", "sts.amazonaws.com"}
    | {"accounts.google.com", "bitbucket.org", "huggingface.co", "circleci.com", "buildkite.com"}
)
GENERIC_WORDS: Final = frozenset({"sigstore", "vault", "default", "test", "example", "audience", "api", "aud", "oidc"})
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def _secret(value: object) -> object:
    return Secret(value) if isinstance(value, str) and value else value


SecretText = Annotated[
    Secret, BeforeValidator(_secret), PlainSerializer(lambda _secret: "***", return_type=str, when_used="always")
]


def _location(value: object) -> object:
    try:
        return parse_location(value) if isinstance(value, str | Path) else value
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


Location = Annotated[
    Path | PostgresUrl,
    BeforeValidator(_location),
    PlainSerializer(str, return_type=str, when_used="always"),  # without the password
]


class DoorSettings(BaseModel):
    """Hold what an operator says about one package registry."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="The registry's own URL, as its users configure it; `aud` of its tokens.")
    audience: str | None = Field(default=None, description="`aud` of id tokens; else derived from the URL's host.")
    token_ttl_seconds: int | None = Field(default=None, ge=60, le=3600, description="Else the door's own default.")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return check_public_url(value)

    @field_validator("audience")
    @classmethod
    def _audience(cls, value: str | None) -> str | None:
        if value is not None and not is_plain(value):
            raise ValueError("must be plain ASCII without spaces")
        return value


class StoreSettings(BaseSettings):
    """Hold all settings, `public_url` possibly unset: enough for commands that work on the store alone."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
        validate_default=True,
    )

    public_url: str | None = Field(
        default=None, description="Our origin: `iss` of our tokens, `HF_ENDPOINT` and audience of our users."
    )
    database: Location = Field(
        default=Path("keyless.db"), description="SQLite file, its directory must exist; or a postgresql:// URL."
    )
    listen: str = Field(default="127.0.0.1:8080", description="Public listener, host:port; port 0 takes a free one.")
    inside_listen: str = Field(default="127.0.0.1:8081", description="Inside listener: introspection, readiness.")
    pages_url: str | None = Field(
        default=None, description="Where people reach the web pages; with https their cookie goes over TLS only."
    )
    sign_in: SignInSettings | None = Field(default=None, description="Where people sign in to the web pages.")
    second_person: bool = Field(
        default=False, description="A publisher that a person adds or changes waits until another one lets it in."
    )
    key_encryption_key: SecretText | None = Field(
        default=None, description="32 bytes in base64 that encrypt the signing keys. Environment only."
    )
    key_encryption_key_file: Path | None = Field(
        default=None, description="File with the same; without either, secret.key beside the database."
    )
    checkpoint_key_file: Path | None = Field(
        default=None, description="Private key (PEM) that signs checkpoints; else checkpoint.key beside the database."
    )
    checkpoint_file: Path | None = Field(
        default=None, description="Checkpoints are appended to it; else checkpoints.jsonl beside the database."
    )
    audit_contact_days: int = Field(
        default=30, ge=0, le=3650, description="Days that addresses and user agents stay beside the audit."
    )
    audit_retention_days: int = Field(default=0, ge=0, description="Days that audit events stay; 0: for good.")
    pause_unused_days: int = Field(
        default=0, ge=0, le=3650, description="Publishers that nobody used for so long are paused; 0: never."
    )
    token_ttl_seconds: int = Field(default=3600, ge=60, le=3600, description="Lifetime of access tokens.")
    max_live_tokens: int = Field(
        default=100, ge=0, le=10_000_000, description="Live tokens of one publisher at once; 0: any number."
    )
    live_tokens_full: Literal["refuse", "revoke_oldest"] = Field(
        default="refuse", description="What happens to one token more."
    )
    max_grants_per_hour: int = Field(
        default=0, ge=0, description="More tokens than that in an hour pause their publisher; 0: any number."
    )
    exchanges_per_minute_by_address: int = Field(
        default=6000, ge=0, description="Token requests of one network address, on each replica; 0: any number."
    )
    exchanges_per_minute_by_identity: int = Field(
        default=1200, ge=0, description="The same of one proven repository or project."
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="Networks of the proxies whose X-Forwarded-For is believed."
    )
    signing_key_days: int = Field(
        default=90, ge=0, le=3650, description="How long a signing key signs; 0: until somebody rotates it."
    )
    drain_seconds: float = Field(
        default=0, ge=0, le=300, description="How long to go on serving, not ready, after SIGTERM."
    )
    webhook_url: str | None = Field(default=None, description="Told of changes of trust, first uses and alarms.")
    webhook_network: str = Field(default="public", description="Where it may be: public, loopback or private=CIDR.")
    webhook_secret: SecretText | None = Field(
        default=None, description="Signs what the webhook is told. Environment only."
    )
    otlp_endpoint: str | None = Field(
        default=None, description="Spans of exchanges go there: a collector's OTLP/HTTP URL, ending in /v1/traces."
    )
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the traces that have spans.")
    leeway_seconds: int = Field(default=30, ge=0, le=60, description="Clock difference tolerated in id tokens.")
    error_profile: Literal["huggingface", "rfc8693"] = Field(default="huggingface", description="OAuth error codes.")
    token_profile: Literal["keyless", "huggingface"] = Field(default="keyless", description="Token prefixes.")
    fixed_audiences: dict[str, str] = Field(
        default={}, description="Issuer URL -> the `aud` of its tokens, where the platform lets nobody choose one."
    )
    doors: dict[str, DoorSettings] = Field(default={}, description="Package registries: pypi, npm, oci.")
    hub_directory: Path | None = Field(default=None, description="Serve the reference hub from here, for a demo.")
    hub_tokens_file: Path | None = Field(
        default=None, description="TOML file with hashes of stored tokens that the reference hub takes, too."
    )
    forward_auth: Path | None = Field(default=None, description="TOML file with the rules of `GET /auth/check`.")
    policy_directory: Path | None = Field(default=None, description="Apply the policy files in here.")
    policy_prune: bool = Field(default=False, description="Remove what is within that policy's reach and not in it.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["console", "json"] = Field(default="console", description="Lines for people, or JSON lines.")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what works and is probably not what the operator wants; for the log."""
        if self.token_ttl_seconds > SHORT_TOKEN_TTL_SECONDS:
            return ()
        short = (
            f"token_ttl_seconds = {self.token_ttl_seconds}: the Hub's client exchanges again on every call when a token"
            f" lives {SHORT_TOKEN_TTL_SECONDS} s or less"
        )
        return (short,)

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        return None if value is None else check_public_url(value)

    @field_validator("fixed_audiences")
    @classmethod
    def _fixed_audiences(cls, value: dict[str, str]) -> dict[str, str]:
        for issuer, audience in value.items():
            if not issuer.startswith(("https://", "http://")) or not is_plain(audience):
                raise ValueError('holds lines like "https://acme.semaphoreci.com" = "the aud of its tokens"')
        return value

    @field_validator("listen", "inside_listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
            raise ValueError("must be host:port, for example 127.0.0.1:8080 or [::1]:8080")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError("an IPv6 address stands in brackets, for example [::1]:8080")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values come as arguments; read nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


class Settings(StoreSettings):
    """Hold the settings of one token service. Load them with `load_settings`."""

    public_url: str = Field(description="Our origin: `iss` of our tokens, `HF_ENDPOINT` and audience of our users.")


_S = TypeVar("_S", bound=StoreSettings)


def load_settings(config: Path | None = None) -> Settings:
    """Read the settings from a TOML file and the environment.

    Args:
        config: The file; else the one `KEYLESS_CONFIG` names; else none.

    Raises:
        ConfigurationError: The file cannot be read, a setting is unknown, missing or wrong. All of them are named.
    """
    return _load(Settings, config)


def load_store_settings(config: Path | None = None) -> StoreSettings:
    """Read the settings as `load_settings` does, without demanding `public_url`.

    Raises:
        ConfigurationError: As `load_settings`.
    """
    return _load(StoreSettings, config)


def _load(kind: type[_S], config: Path | None) -> _S:
    if config is None and (named := os.environ.get(CONFIG_VARIABLE)):
        config = Path(named)
    values = {} if config is None else _read_file(config)
    _refuse_unknown(values, config)
    try:
        return kind(**values)
    except ValidationError as error:
        problems = [_problem(dict(item), values, config) for item in error.errors(include_input=False)]
    raise ConfigurationError("; ".join(problems), hint="docs/settings.md describes every setting.")


def _read_file(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"settings file {config} cannot be read: {error.strerror}") from None
    try:
        values = tomllib.loads(text.decode("utf-8"))
    except ValueError as error:
        # The message of a TOML error has line and column, and quotes no value.
        raise ConfigurationError(f"settings file {config} is not TOML: {error}") from None
    if "webhook_secret" in values:
        raise ConfigurationError(
            f"webhook_secret does not belong into the settings file {config}", hint="Set KEYLESS_WEBHOOK_SECRET."
        )
    if "key_encryption_key" in values:
        raise ConfigurationError(
            f"key_encryption_key does not belong into the settings file {config}",
            hint="Name a private file with key_encryption_key_file, or set KEYLESS_KEY_ENCRYPTION_KEY.",
        )
    # Paths in the file are meant from the file's place, not from wherever the service was started.
    for name in _PATHS:
        if isinstance(values.get(name), str) and "://" not in values[name]:
            values[name] = str(config.absolute().parent / values[name])
    sign_in = values.get("sign_in")
    if isinstance(sign_in, dict) and isinstance(secret := sign_in.get("client_secret_file"), str):
        sign_in["client_secret_file"] = str(config.absolute().parent / secret)
    return values


def _refuse_unknown(values: Mapping[str, object], config: Path | None) -> None:
    names = list(Settings.model_fields)
    unknown = [
        (name, f"settings file {config}", difflib.get_close_matches(name, names))
        for name in values
        if name not in names
    ]
    for variable in os.environ:
        # Other variables with our prefix belong to the client; one that nearly is a setting is a slip of the pen.
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in names:
            unknown += [
                (variable, "environment", [near]) for near in difflib.get_close_matches(name, names, n=1, cutoff=0.85)
            ]
    if unknown:
        name, place, near = unknown[0]
        hint = f"Did you mean {near[0]}?" if near else f"Settings: {', '.join(names)}."
        raise ConfigurationError(f"unknown setting {name} ({place})", hint=hint)


def _problem(item: dict[str, Any], values: Mapping[str, object], config: Path | None) -> str:
    location = item["loc"]
    name = ".".join(str(part) for part in location) or "settings"
    variable = f"{PREFIX}{name.upper().replace('.', '__')}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "missing":
        return f"{name} is not set (set {variable}, or {name} in the settings file)"
    if os.environ.get(variable):
        return f"{name}: {message} (environment variable {variable})"
    if name.partition(".")[0] in values:
        return f"{name}: {message} (settings file {config})"
    return f"{name}: {message}"


def check_public_url(value: str) -> str:
    """Return `value` if it can be our origin (D19).

    An https URL without a trailing slash, query or user name; http only for loopback hosts. It is the audience that id
    tokens must carry, so it must be ours alone (T43).

    Raises:
        ValueError: It cannot; the message says why.
    """
    if value.lower() in GENERIC_WORDS:
        raise ValueError("a generic word is many services' audience; use this service's own https URL")
    if not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError("must be plain ASCII without spaces")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("must be an https URL, for example https://hub.example.org")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must be https: plain http is for loopback hosts only")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or "?" in value:
        raise ValueError("must be an origin and at most a path: no user name, query or fragment")
    if value.endswith(("/", "#")):
        raise ValueError("must not end with a slash")
    if parts.netloc != parts.netloc.lower() or (parts.scheme, port) in {("https", 443), ("http", 80)}:
        raise ValueError("must have a lower-case host and no default port, because clients compare it byte for byte")
    if not (is_loopback(host) or _HOST.fullmatch(host) or _is_address(host)):
        raise ValueError(f"{host!r} is not a host name")
    if host in GENERIC_HOSTS or host.removeprefix("www.") in GENERIC_HOSTS:
        raise ValueError(f"{host} is another service's name; use this service's own")
    return value


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
