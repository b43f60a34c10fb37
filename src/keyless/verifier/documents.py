"""Fetch a public document of the token service. The one place of the room that reads the environment (proxies)."""

from __future__ import annotations

import os
from typing import Final

from keyless.errors import TransportError
from keyless.http.deadline import Deadline
from keyless.http.transport import send

FETCH_SECONDS: Final = 5.0  # K07
MAX_DOCUMENT_BYTES: Final = 100 * 1024  # K08


def fetch_document(url: str) -> bytes:
    """Fetch a document with a deadline of 5 s and a limit of 100 KiB.

    Raises:
        TransportError: No such answer came.
    """
    response = send(
        "GET",
        url,
        leg="the token service",
        deadline=Deadline(FETCH_SECONDS),
        environ=os.environ,
        max_bytes=MAX_DOCUMENT_BYTES,
    )
    if response.status != 200:
        raise TransportError(f"the token service answered HTTP {response.status} for its keys", retryable=True)
    return response.body
