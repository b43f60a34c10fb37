"""The service's own signing keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyless.server.services.keys import ACCESS_TOKEN_PURPOSE
from keyless.server.ui.visit import Answer, Html, Visit


def show_all(visit: Visit) -> Answer:
    """List the signing keys; of the private half there is nothing to see."""
    visit.reads_everything()
    return Html("keys.html", {"keys": visit.store.signing_keys(ACCESS_TOKEN_PURPOSE)})


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {"/keys": {"GET": show_all}}
