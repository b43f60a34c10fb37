"""Columns as PostgreSQL arrays, so that a batch is one statement; written as text, which costs least in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final


def text_array(values: Iterable[str | None]) -> str:
    """Return the literal of a `text[]`.

    Raises:
        TypeError: A member is neither a string nor `None`.
    """
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def number_array(values: Iterable[int | None]) -> str:
    """Return the literal of an array of integers; what is no number is the server's to refuse."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def bytes_array(values: Iterable[bytes | None]) -> str:
    """Return the literal of a `bytea[]`.

    Raises:
        TypeError: A member is neither bytes nor `None`.
    """
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{bytes.hex(value)}"' for value in values]) + "}"


def _quoted(value: str) -> str:
    # Through the class, so that another type is a TypeError; `\` before `"`, which would gain one.
    return '"' + str.replace(value, "\\", "\\\\").replace('"', '\\"') + '"'


WRITERS: Final[dict[str, Callable[[Iterable[Any]], str]]] = {
    "text": text_array,
    "bytea": bytes_array,
    "smallint": number_array,
    "integer": number_array,
    "bigint": number_array,
}
"""Name of a column's type -> what writes an array of it."""
