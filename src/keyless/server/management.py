"""The management API over a running service's store; loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable

from keyless.server.api.app import Parts, create_api
from keyless.server.doors.http import Door
from keyless.server.services.verification import IdTokenVerification
from keyless.server.store import Store
from keyless.server.store.admin import Administration


def make_management(
    store: Store, verification: IdTokenVerification, *, clock: Callable[[], float]
) -> tuple[Door, Administration]:
    """Return the API, and the administration to close at the end.

    Args:
        store: The service's.
        verification: The exchange's.
        clock: Unix seconds.
    """
    administration = Administration(store, actor="serve", clock=clock)
    parts = Parts(store=store, administration=administration, verification=verification, clock=clock)
    return create_api(parts), administration
