"""The OpenAPI document: written by hand in `openapi.json`, served as it is."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, Final

from keyless.server.api.call import Answer, Call
from keyless.server.api.operation import Access, Operation


@cache
def load_document() -> dict[str, Any]:
    """Return the document that is kept beside this file."""
    document: dict[str, Any] = json.loads(resources.files(__package__).joinpath("openapi.json").read_text("utf-8"))
    return document


def show_document(call: Call) -> Answer:
    """Return the OpenAPI document."""
    del call
    return Answer(200, load_document())


OPERATION: Final = Operation(
    id="showDocument", method="GET", path="/openapi.json", handler=show_document, access=Access.OPEN
)
