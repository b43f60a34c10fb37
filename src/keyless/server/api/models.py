"""What operations take in their query; bodies are described beside their operations."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_PAGE: Final = 200

Cursor = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[A-Za-z0-9_-]+$")]


class Query(BaseModel):
    """Be the base of queries: the values are texts, so numbers are read from them."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    """Ask for a page of a list."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    after: Cursor | None = None
