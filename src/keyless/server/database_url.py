"""Where the database is: a file, or a PostgreSQL URL. Pure; loads no driver."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from keyless.errors import ConfigurationError

SCHEMES: Final = ("postgresql", "postgres")


class PostgresUrl:
    """Hold a libpq connection URL, which may carry a password: shown only without it.

    Raises:
        ConfigurationError: It is not `postgresql://…`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if urlsplit(text).scheme not in SCHEMES:
            raise ConfigurationError("a database URL must begin with postgresql://")
        self._text = text

    def reveal(self) -> str:
        """Return the URL with everything in it, for the driver."""
        return self._text

    def __str__(self) -> str:
        parts = urlsplit(self._text)
        user, at, host = parts.netloc.rpartition("@")
        # The query may carry a password too (`?password=`), and nothing in it helps a reader.
        return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"

    def __repr__(self) -> str:
        return f"PostgresUrl({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


DatabaseLocation = Path | PostgresUrl


def parse_location(value: str | Path | PostgresUrl) -> DatabaseLocation:
    """Return where a setting or an argument says that the database is.

    Raises:
        ConfigurationError: It is a URL of something else.
    """
    if isinstance(value, PostgresUrl):
        return value
    text = str(value)
    scheme, colon, _ = text.partition("://")
    # `Path` has made one slash of two already, where a URL came in as a path.
    if scheme.partition(":")[0] in SCHEMES and not colon and isinstance(value, Path):
        raise ConfigurationError(f"database {scheme.partition(':')[0]} URL was given as a path")
    if colon:
        return PostgresUrl(text)
    return Path(value)
