"""The reference of the settings, out of the model that reads them."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from types import UnionType
from typing import Any

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from keyless.secret import Secret
from keyless.server.database_url import PostgresUrl
from keyless.server.settings import PREFIX, DoorSettings, Settings
from keyless.server.sign_in_settings import SignInSettings
from scripts.docs.text import made_by, table

INTRODUCTION = """\
Every setting of `keyless serve` with its type, range and default, as the program reads them. What each is good for, and
the variables of the *client*, are in [settings.md](../settings.md).

In the file of `--config` (TOML) a setting has its own name; in the environment it has the name of the second column,
which wins. Lists and tables are JSON there.
"""
_WORDS: dict[Any, str] = {str: "text", int: "number", float: "number", bool: "true or false", Path: "path"}


def page() -> str:
    """Return the whole page."""
    lines = ["# All settings", "", *made_by("settings", "src/keyless/server/settings.py"), INTRODUCTION]
    lines += table(("setting", "in the environment", "value", "default", ""), _rows(Settings.model_fields, PREFIX))
    lines += ["## A door", "", "One table `[doors.NAME]` for each package registry:", ""]
    rows = _rows(DoorSettings.model_fields, f"{PREFIX}DOORS__NAME__")
    lines += table(("setting", "in the environment", "value", "default", ""), rows)
    lines += ["## Signing in", "", "One table `[sign_in]` ([sign in with your identity provider](../sign-in.md)):", ""]
    rows = _rows(SignInSettings.model_fields, f"{PREFIX}SIGN_IN__")
    lines += table(("setting", "in the environment", "value", "default", ""), rows)
    return "\n".join(lines).rstrip() + "\n"


def _rows(fields: dict[str, FieldInfo], prefix: str) -> list[tuple[str, ...]]:
    return [
        (
            f"`{name}`",
            f"`{prefix}{name.upper()}`",
            _value(field),
            "**needed**" if field.is_required() else _default(field.default),
            field.description or "",
        )
        for name, field in fields.items()
    ]


def _value(field: FieldInfo) -> str:
    least = next((str(part.ge) for part in field.metadata if isinstance(part, Ge)), None)
    most = next((str(part.le) for part in field.metadata if isinstance(part, Le)), None)
    word = _type(field.annotation)
    if least is None:
        return word
    return f"{word}, {least}-{most}" if most is not None else f"{word}, {least} or more"


def _type(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in {typing.Union, UnionType}:
        return " or ".join(dict.fromkeys(_type(part) for part in arguments if part is not type(None)))
    if origin in {tuple, list}:
        return "list of texts"
    if origin is dict:
        return "table"
    known = {Secret: "text, a secret", PostgresUrl: "URL", SignInSettings: "table"}
    return known.get(kind) or _WORDS[kind]


def _default(value: object) -> str:
    if value is None or value in ((), {}):
        return "none"
    return f"`{value}`" if isinstance(value, Path | str) else f"`{json.dumps(value)}`"
