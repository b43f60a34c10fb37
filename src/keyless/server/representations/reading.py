"""Reading members of a JSON object whose writer should be our own API; what does not fit is an error, not a crash."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from keyless.errors import ResponseError

Json = Mapping[str, object]
_Choice = TypeVar("_Choice", bound=StrEnum)


def text(content: Json, name: str) -> str:
    """Return a member that is a text.

    Raises:
        ResponseError: It is something else. So for all of these.
    """
    if not isinstance(value := content.get(name), str):
        raise unexpected(name)
    return value


def number(content: Json, name: str) -> int:
    """Return a member that is an integer."""
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise unexpected(name)
    return value


def flag(content: Json, name: str) -> bool:
    """Return a member that is true or false."""
    if not isinstance(value := content.get(name), bool):
        raise unexpected(name)
    return value


def maybe_text(content: Json, name: str) -> str | None:
    """Return a member that is a text, or `None` when it is null or absent."""
    return None if content.get(name) is None else text(content, name)


def maybe_number(content: Json, name: str) -> int | None:
    """Return a member that is an integer, or `None` when it is null or absent."""
    return None if content.get(name) is None else number(content, name)


def mapping(content: Json, name: str) -> Json:
    """Return a member that is an object."""
    if not isinstance(value := content.get(name), dict):
        raise unexpected(name)
    return value


def objects(content: Json, name: str) -> list[Json]:
    """Return a member that is a list of objects."""
    value = content.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise unexpected(name)
    return value


def texts(content: Json, name: str) -> tuple[str, ...]:
    """Return a member that is a list of texts."""
    value = content.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise unexpected(name)
    return tuple(value)


def choice(content: Json, name: str, kind: type[_Choice]) -> _Choice:
    """Return a member that is one of a closed set of texts."""
    try:
        return kind(text(content, name))
    except ValueError:
        raise unexpected(name) from None


def maybe_choice(content: Json, name: str, kind: type[_Choice]) -> _Choice | None:
    """Return a member that is one of a closed set of texts, or `None` when it is null or absent."""
    return None if content.get(name) is None else choice(content, name, kind)


def unexpected(name: str) -> ResponseError:
    """Return the error for a member that is not what it should be."""
    return ResponseError(f"the management API answered with a {name!r} that is none")
