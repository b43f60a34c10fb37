"""The management API over a running service's store; loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable

from keyless.server.api.app import Parts, create_api
from keyless.server.doors.http import Door
from keyless.server.store import Store
from keyless.server.store.admin import Administration


def make_management(store: Store, *, clock: Callable[[], float]) -> tuple[Door, Administration]:
    """Return the API, and the administration to close at the end.

    Args:
        store: The service's.
        clock: Unix seconds.
    """
    administration = Administration(store, actor="serve", clock=clock)
    return create_api(Parts(store=store, administration=administration, clock=clock)), administration
