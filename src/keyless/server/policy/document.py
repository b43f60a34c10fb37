"""A policy: the issuers and publishers that a team wants, as TOML or JSON.

    version = 1
    namespaces = ["acme"]          # whose publishers are all in here; others are then surplus

    [[publisher]]
    resource = "acme/model"
    provider = "github"            # or issuer = "https://…"
    claims = { repository = "acme/train", branch = ["main", "release/*"], workflow = "release.yml" }
    pins = { repository_id = "123456", repository_owner_id = "7890" }

The JSON schema is `schema.json`, made from these classes. Pure, but for reading files.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from keyless.errors import ConfigurationError, MalformedTokenError
from keyless.jose.json import parse_json_object
from keyless.server.representations.fields import Closed, Text
from keyless.server.representations.new_issuer import IssuerDescription
from keyless.server.representations.new_publisher import PublisherDescription

MAX_FILE_BYTES: Final = 2 * 1024 * 1024
MAX_ENTRIES: Final = 10_000
_MOMENT: Final = "expires_at"


class PolicyPublisher(PublisherDescription):
    """A publisher that there must be. `enabled` left out leaves it as it is: paused stays paused."""

    enabled: bool | None = None


class Policy(Closed):
    """What there must be. Nothing that is not in here is removed unless that is asked for."""

    model_config = ConfigDict(title="keyless policy")

    version: Literal[1]
    namespaces: Annotated[Sequence[Text], Field(max_length=1000)] = ()
    issuers: Annotated[Sequence[IssuerDescription], Field(alias="issuer", max_length=1000)] = ()
    publishers: Annotated[Sequence[PolicyPublisher], Field(alias="publisher", max_length=MAX_ENTRIES)] = ()


def parse_policy(document: Mapping[str, object], *, where: str = "the policy") -> Policy:
    """Read a policy from a document; `where` names it in messages.

    Raises:
        ConfigurationError: It is none; the message names the first members that are wrong.
    """
    try:
        return Policy.model_validate(_with_moments(document))
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part + 1) if isinstance(part, int) else part[:60] for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)[:10]
        ]
    raise ConfigurationError(
        f"{where} is not a policy: {problems[0]}",
        hint="\n".join([*problems[1:], "The schema: keyless trust schema"]),
    )


def read_policy(paths: Iterable[Path]) -> Policy:
    """Read the files of a policy and put them together.

    Raises:
        ConfigurationError: A file cannot be read or is no policy.
    """
    parts = [parse_policy(_read(path), where=str(path)) for path in paths]
    if not parts:
        raise ConfigurationError("no policy file is named")
    return Policy.model_validate(
        {
            "version": 1,
            "namespaces": [name for part in parts for name in part.namespaces],
            "issuer": [entry for part in parts for entry in part.issuers],
            "publisher": [entry for part in parts for entry in part.publishers],
        }
    )


def policy_json(policy: Policy) -> dict[str, object]:
    """Return a policy as the API takes it."""
    content: dict[str, object] = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {**content, "version": policy.version}


def schema_text() -> str:
    """Return the JSON schema that is kept beside this file."""
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def make_schema() -> str:
    """Return the JSON schema of the classes above, for `schema.json`."""
    schema: dict[str, Any] = Policy.model_json_schema(by_alias=True)
    moment = schema["$defs"]["PolicyPublisher"]["properties"][_MOMENT]
    moment["anyOf"].insert(1, {"type": "string", "format": "date-time"})
    moment["anyOf"].insert(2, {"type": "string", "format": "date"})
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(described, indent=2, sort_keys=True) + "\n"


def _read(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"policy file {path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"policy file {path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        if path.suffix == ".json":
            return parse_json_object(content)
        return tomllib.loads(content.decode("utf-8"))
    except MalformedTokenError as error:
        raise ConfigurationError(f"policy file {path} is not a JSON object: {error}") from None
    except (ValueError, RecursionError) as error:  # of TOML, and of the decoding
        raise ConfigurationError(f"policy file {path} is not TOML: {error}") from None


def _with_moments(document: Mapping[str, object]) -> dict[str, object]:
    """Return the document with every date of a publisher as Unix seconds."""
    entries = document.get("publisher")
    if not isinstance(entries, list):
        return dict(document)
    return {
        **document,
        "publisher": [
            {**entry, _MOMENT: _seconds(entry[_MOMENT])} if isinstance(entry, dict) and _MOMENT in entry else entry
            for entry in entries
        ],
    }


def _seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return value  # the model says what is wrong with it
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    if isinstance(value, dt.datetime):
        zoned = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
        return int(zoned.timestamp())
    return value
