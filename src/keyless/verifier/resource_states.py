"""What a hub asks and tells of a resource: does it take stored tokens at all; it came into being (T93, T101).

A hub has tokens of its own that the token service never sees. Whether a resource still takes them is the service's to
say, so that a job whose OIDC somebody made fail gains nothing from a secret that lies about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from keyless.errors import TransportError, UnavailableError
from keyless.resource import Resource
from keyless.secret import Secret
from keyless.verifier.connections import Connections
from keyless.verifier.inside import DEFAULT_TIMEOUT_SECONDS, basic, read_members

_STATE: Final = "resource state endpoint"
_CREATED: Final = "resource created endpoint"


class ResourceStates:
    """The token service's word on resources. Safe to share between threads; keeps a few connections open.

    Args:
        inside_url: The service's inside listener. Plain http only to this machine or a host named in
            `KEYLESS_INSECURE_HTTP_HOSTS` (D27). No proxy is used.
        name: The resource server's name there.
        credential: Its credential.
        timeout_seconds: For one question, connecting included.

    Raises:
        ConfigurationError: The URL cannot be used.
    """

    def __init__(
        self, inside_url: str, name: str, credential: Secret, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self._state: Final = Connections(f"{inside_url}/resources/state", _STATE, timeout_seconds=timeout_seconds)
        self._created: Final = Connections(f"{inside_url}/resources/created", _CREATED, timeout_seconds=timeout_seconds)
        self._authorization: Final = basic(name, credential)

    def publishers_only(self, resource: Resource) -> bool:
        """Tell whether a resource takes tokens of trusted publishers alone; refuse stored ones then (T101).

        Never remembered: the switch counts at the next request.

        Raises:
            UnavailableError: There is no answer; refuse with 503, for a stored token must not slip through an outage.
        """
        match self._ask(self._state, _STATE, resource).get("publishers_only"):
            case bool(answer):
                return answer
            case _:
                raise UnavailableError("the resource state endpoint's answer has no 'publishers_only'")

    def created(self, resource: Resource) -> None:
        """Tell that a resource came into being: whoever waited for its name gets no token any more (T93).

        Raises:
            UnavailableError: It could not be told; tell it again.
        """
        self._ask(self._created, _CREATED, resource)

    def close(self) -> None:
        """Close the idle connections; the object can still be used."""
        self._state.close()
        self._created.close()

    def _ask(self, connections: Connections, what: str, resource: Resource) -> Mapping[str, object]:
        try:
            answer = connections.post(
                urlencode({"resource": str(resource)}).encode(),
                {
                    "Authorization": self._authorization.reveal(),
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
            )
        except TransportError as error:
            raise UnavailableError(f"the token service cannot be asked now: {error.message}") from error
        return read_members(answer, what)
