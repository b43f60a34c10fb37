"""SPIFFE / SPIRE: a JWT-SVID from the workload API, over the agent's Unix socket.

Specification: "SPIFFE Workload Endpoint" and "SPIFFE Workload API". Where the socket is not to be had, let
`spiffe-helper` (or the CSI driver's sidecar) keep a token in a file and name it in `KEYLESS_ID_TOKEN_FILE`.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.http.deadline import connect, literal_address
from keyless.http.fork import import_lock
from keyless.http.url import is_loopback
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from socket import socket
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "spiffe"
TITLE: Final = "SPIFFE / SPIRE"
SETUP: Final = "SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/agent/public/api.sock, and that socket mounted"

SOCKET_VARIABLE: Final = "SPIFFE_ENDPOINT_SOCKET"
ID_VARIABLE: Final = "KEYLESS_SPIFFE_ID"
VARIABLES: Final = (SOCKET_VARIABLE,)
_METHOD: Final = "/SpiffeWorkloadAPI/FetchJWTSVID"
_METADATA: Final = {"workload.spiffe.io": "true"}  # "SPIFFE Workload Endpoint" section 4: against forged requests
_SOURCE: Final = "the SPIFFE workload API"
# Fields of `JWTSVIDRequest`, `JWTSVIDResponse` and `JWTSVID` in workload.proto.
_AUDIENCE, _SPIFFE_ID = 1, 2
_SVIDS, _SVID = 1, 2

_FILE_HINT: Final = (
    "Let spiffe-helper write a JWT-SVID for the endpoint's audience into a file, and name it in KEYLESS_ID_TOKEN_FILE."
)
_SOCKET_HINT: Final = (
    f"{SOCKET_VARIABLE} is a URI with an absolute path and no host: unix:///run/spire/agent/public/api.sock"
)
_MOUNT_HINT: Final = f"Does the agent run, and is the socket of {SOCKET_VARIABLE} mounted here?"
_NOT_SPIFFE_HINT: Final = f"Something other than a SPIFFE workload API is behind {SOCKET_VARIABLE}."
# By gRPC status: what it means here, whether to try again, and what to do.
_STATUS: Final = {
    3: ("refuses the request itself (InvalidArgument)", False, _NOT_SPIFFE_HINT),
    4: ("did not answer in time", True, "The agent may be cut off from its server."),
    7: (
        "knows no identity for this process (PermissionDenied)",
        True,
        "Register an entry whose selectors fit this workload; a new entry takes seconds to arrive.",
    ),
    8: ("is overloaded (ResourceExhausted)", True, None),
    12: ("does not know the call (Unimplemented)", False, _NOT_SPIFFE_HINT),
    14: ("is not available", True, _MOUNT_HINT),
}


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether `SPIFFE_ENDPOINT_SOCKET` is set, and whether it can be used."""
    text = environ.get(SOCKET_VARIABLE, "").strip()
    if not text:
        return None
    path, port = _tcp_address(text) if text.startswith("tcp:") else (_socket_path(text), None)
    if path is None:
        return CannotMint(
            NAME, IdTokenPermissionError(f"{SOCKET_VARIABLE} is not the address of a socket", hint=_SOCKET_HINT)
        )
    if port is not None and not is_loopback(path):
        error = IdTokenPermissionError(
            f"{SOCKET_VARIABLE} is another machine's address, from which a token would come in clear text",
            hint=_FILE_HINT,
        )
        return CannotMint(NAME, error)
    return SpiffeMint(path, port, environ.get(ID_VARIABLE, "").strip())


def _socket_path(text: str) -> str | None:
    """Return the path of `unix:///path`, `unix:/path`, or of a bare path, as one client has it."""
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        path = path.removeprefix("//")
    return path if path.startswith("/") and path.isprintable() else None


def _tcp_address(text: str) -> tuple[str | None, int | None]:
    """Return address and port of `tcp://IP:port`; names are not allowed ("SPIFFE Workload Endpoint" section 4)."""
    host, _, port = text.removeprefix("tcp:").removeprefix("//").rpartition(":")
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536
    address = host.removeprefix("[").removesuffix("]")
    return (address, int(port)) if is_port and literal_address(address, int(port)) else (None, None)


class SpiffeMint(CanMint):
    """The workload API behind a socket; every call fetches a new JWT-SVID.

    Args:
        address: The path of the socket, or the IP address of this machine.
        port: Of the IP address.
        spiffe_id: Which of several identities to take, or the empty text for the first.
    """

    __slots__ = ("_address", "_port", "_spiffe_id")

    def __init__(self, address: str, port: int | None, spiffe_id: str) -> None:
        identity = Secret(f"{address}\n{port}\n{spiffe_id}")
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._address = address
        self._port = port
        self._spiffe_id = spiffe_id

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:  # noqa: ARG002  # one shape for all
        """Fetch a JWT-SVID (see `CanMint.mint`)."""
        with import_lock:
            from keyless.http import grpc

        request = grpc.write_field(_AUDIENCE, audience.encode())
        if self._spiffe_id:
            request += grpc.write_field(_SPIFFE_ID, self._spiffe_id.encode())
        sock = self._connect(deadline)
        try:
            answer = grpc.call(sock, _METHOD, request, metadata=_METADATA, deadline=deadline)
            token = _first_svid(answer.message) if answer.status == grpc.OK else ""
        except TimeoutError:
            raise MintUnavailableError(
                f"{_SOURCE} gave no complete answer within {deadline.seconds:.3g} s",
                hint="The agent may be cut off from its server.",
            ) from None
        except OSError as error:
            raise MintUnavailableError(
                f"the connection to {_SOURCE} failed ({error.strerror or type(error).__name__})", hint=_MOUNT_HINT
            ) from None
        except ValueError:  # not chained: it may quote what came
            raise MintError(f"{_SOURCE} answered with something that is not gRPC", hint=_NOT_SPIFFE_HINT) from None
        if answer.status != grpc.OK:
            what, may_pass, hint = _STATUS.get(answer.status, (f"failed with gRPC status {answer.status}", True, None))
            raise (MintUnavailableError if may_pass else MintError)(f"{_SOURCE} {what}", hint=hint)
        return Secret(_checked(token))

    def _connect(self, deadline: Deadline) -> socket:
        with import_lock:
            from keyless.http.grpc import connect_unix
        try:
            if self._port is not None:
                return connect(literal_address(self._address, self._port), deadline)
            return connect_unix(self._address, deadline)
        except PermissionError:
            raise MintError(
                f"the socket of {SOCKET_VARIABLE} may not be used by this user",
                hint="Run the job as a user who may, or widen the permissions of the socket's directory.",
            ) from None
        except (FileNotFoundError, NotADirectoryError):
            raise MintUnavailableError(
                f"the socket that {SOCKET_VARIABLE} names is not there", hint=_MOUNT_HINT
            ) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise MintUnavailableError(f"{_SOURCE} cannot be reached ({reason})", hint=_MOUNT_HINT) from None


def _first_svid(response: bytes) -> str:
    """Return the token of the first SVID, which is the default one.

    Raises:
        ValueError: The response is not what the specification says.
    """
    with import_lock:
        from keyless.http.grpc import read_fields
    for field, svid in read_fields(response):
        if field == _SVIDS:
            return next((token.decode("ascii") for name, token in read_fields(svid) if name == _SVID), "")
    return ""


def _checked(token: str) -> str:
    with import_lock:
        from keyless.providers.endpoint import is_token_text
    if not is_token_text(token):
        raise MintError(f"{_SOURCE} answered without a JWT-SVID", hint=_FILE_HINT)
    return token
