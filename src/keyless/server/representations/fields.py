"""The kinds of text and number that records are made of, and the strictness of what is read from JSON."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

LATEST: Final = 253_402_300_799  # the end of the year 9999, the last moment that can be written down

# Printable ASCII: what claims, pins, names and URLs are made of (M04); nothing else reaches the database.
Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[ -~]+$")]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[!-~]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?$")]
Moment = Annotated[int, Field(ge=0, le=LATEST)]


class Closed(BaseModel):
    """Refuse values of another type, and members that are not described."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
