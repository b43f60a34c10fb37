"""SPIFFE / SPIRE: a JWT-SVID from the workload API, fetched by the agent's own program.

Specification: "SPIFFE Workload API" and "JWT-SVID". The API is gRPC, for which the standard library has nothing, so
`spire-agent api fetch jwt` speaks it for us. Where that program is not, let `spiffe-helper` (or the CSI driver's
sidecar) keep a token in a file and name it in `KEYLESS_ID_TOKEN_FILE`.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "spiffe"
TITLE: Final = "SPIFFE / SPIRE"
SETUP: Final = "SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/api.sock, and the spire-agent program"

SOCKET_VARIABLE: Final = "SPIFFE_ENDPOINT_SOCKET"
ID_VARIABLE: Final = "KEYLESS_SPIFFE_ID"
VARIABLES: Final = (SOCKET_VARIABLE,)
_SOURCE: Final = "the spire-agent program"

_FILE_HINT: Final = (
    "Let spiffe-helper write a JWT-SVID for the endpoint's audience into a file, and name it in KEYLESS_ID_TOKEN_FILE."
)
_SOCKET_HINT: Final = (
    f"{SOCKET_VARIABLE} is a URI with an absolute path and no host: unix:///run/spire/agent/public/api.sock"
)
# Phrases of the program, in lower case, that tell one failure from another: is it worth trying again, and what to do.
_COMPLAINTS: Final = (
    (
        ("no identity issued", "permissiondenied"),
        True,
        "SPIRE knows no entry for this process (yet). Register one whose selectors fit it; a new entry takes seconds.",
    ),
    (
        ("no such file", "connection refused", "unavailable", "error while dialing"),
        True,
        f"The agent does not answer. Does it run, and is the socket of {SOCKET_VARIABLE} mounted here?",
    ),
    (
        ("deadlineexceeded", "deadline exceeded"),
        True,
        "The agent did not answer in time. Is it cut off from its server?",
    ),
    (
        ("invalidargument",),
        False,
        "The agent refuses the request itself: is something other than a SPIFFE workload API behind that socket?",
    ),
    (
        ("flag provided but not defined",),
        False,
        f"This version of spire-agent is too old to print JSON (-output json). {_FILE_HINT}",
    ),
)


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether `SPIFFE_ENDPOINT_SOCKET` is set, and whether it can be used."""
    text = environ.get(SOCKET_VARIABLE, "").strip()
    if not text:
        return None
    if text.startswith("tcp:"):
        error = IdTokenPermissionError(
            f"{SOCKET_VARIABLE} is a TCP address, which spire-agent cannot use", hint=_FILE_HINT
        )
        return CannotMint(NAME, error)
    path = _socket_path(text)
    if path is None:
        return CannotMint(
            NAME, IdTokenPermissionError(f"{SOCKET_VARIABLE} is not the address of a socket", hint=_SOCKET_HINT)
        )
    return SpiffeMint(path, environ.get(ID_VARIABLE, "").strip())


def _socket_path(text: str) -> str | None:
    """Return the path of `unix:///path`, `unix:/path`, or of a bare path, as one client has it."""
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        path = path.removeprefix("//")
    return path if path.startswith("/") and path.isprintable() else None


class SpiffeMint(CanMint):
    """The workload API behind a socket; every call fetches a new JWT-SVID.

    Args:
        socket_path: Where the socket is.
        spiffe_id: Which of several identities to take, or the empty text for the first.
    """

    __slots__ = ("_socket_path", "_spiffe_id")

    def __init__(self, socket_path: str, spiffe_id: str) -> None:
        identity = Secret(f"{socket_path}\n{spiffe_id}")
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._socket_path = socket_path
        self._spiffe_id = spiffe_id

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Fetch a JWT-SVID (see `CanMint.mint`)."""
        with import_lock:
            from keyless.providers.program import run_program

        if "," in audience:
            raise MintError("spire-agent takes a comma for the end of an audience", hint=_FILE_HINT)
        words = ["spire-agent", "api", "fetch", "jwt", "-audience", audience, "-socketPath", self._socket_path]
        if self._spiffe_id:
            words += ["-spiffeID", self._spiffe_id]
        finished = run_program(
            [*words, "-output", "json"],
            source=_SOURCE,
            environ=environ,
            deadline=deadline,
            missing_hint=f"The workload API is gRPC, which keyless leaves to that program. {_FILE_HINT}",
            late_hint="The agent may be cut off from its server.",
        )
        if finished.status != 0:
            self._fail(finished.status, finished.complaint.lower())
        return Secret(self._read(finished.output))

    def _fail(self, status: int, complaint: str) -> None:
        what = f"{_SOURCE} failed with exit status {status}"
        for phrases, retryable, hint in _COMPLAINTS:
            if any(phrase in complaint for phrase in phrases):
                raise (MintUnavailableError if retryable else MintError)(what, hint=hint)
        raise MintError(what, hint="Run it in the job to see: spire-agent api fetch jwt -audience x > /dev/null")

    def _read(self, output: bytes) -> str:
        """Find the first SVID in the program's JSON: a list of two answers, of which one has `svids`."""
        with import_lock:
            import json

            from keyless.providers.endpoint import is_token_text
        try:
            parsed = json.loads(output)
        except (ValueError, RecursionError):
            parsed = None
        for part in parsed if isinstance(parsed, list) else [parsed]:
            svids = part.get("svids") if isinstance(part, dict) else None
            first = svids[0] if isinstance(svids, list) and svids else None
            token = first.get("svid") if isinstance(first, dict) else None
            if isinstance(token, str) and is_token_text(token):
                return token
        raise MintError(f"{_SOURCE} ended well but printed no JWT-SVID", hint=_FILE_HINT)
