"""How the hub says no: status, the headers the `hf` client reads, and a JSON body that repeats them.

The client prints `X-Error-Message`, picks its own sentence by `X-Error-Code` and shows `X-Request-Id`. An error that
names a repository is only raised after `access` decided that the caller may know of it (T94).
"""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse

from keyless.errors import Error
from keyless.resource import Resource

# With exactly this sentence a 401 is shown as what it is; with any other, the client of an https hub tells its user
# that the repository does not exist (huggingface_hub, `utils/_http.py`, 1.19.0 and 2.4.0).
BAD_CREDENTIALS: Final = "Invalid credentials in Authorization header"
MAX_MESSAGE_CHARS: Final = 500


class HubError(Error):
    """The hub refuses a request.

    Args:
        message: Short English for the user's terminal.
        status: HTTP status code.
        error_code: Value of `X-Error-Code`, or `None` where the client knows none that fits.
        headers: Further response headers.
    """

    code = "hub_refused"

    def __init__(
        self, message: str, *, status: int, error_code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.headers = headers or {}


def bad_request(message: str) -> HubError:
    """Return the answer to a request that cannot be understood."""
    return HubError(message, status=400)


def bad_credentials() -> HubError:
    """Return the one answer to every token that is not acceptable, whatever is wrong with it (RFC 6750 3.1)."""
    return HubError(BAD_CREDENTIALS, status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def credentials_missing(message: str) -> HubError:
    """Return the answer to an anonymous caller who would need a token."""
    return HubError(message, status=401, headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> HubError:
    """Return the answer to a genuine token that is good for something else (RFC 6750 3.1)."""
    return HubError(message, status=403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})


def not_found(message: str) -> HubError:
    """Return the answer for an address the hub does not serve."""
    return HubError(message, status=404)


def repo_not_found(resource: Resource) -> HubError:
    """Return the answer for a repository that is absent, or that the caller may not know of."""
    return HubError(
        f"{resource.type.value.capitalize()} {resource.short} not found", status=404, error_code="RepoNotFound"
    )


def revision_not_found(resource: Resource, revision: str) -> HubError:
    """Return the answer for a branch, tag or commit that does not exist."""
    return HubError(f"Revision {revision} not found in {resource}", status=404, error_code="RevisionNotFound")


def entry_not_found(resource: Resource, path: str, commit_id: str) -> HubError:
    """Return the answer for a missing file; the client caches the absence under the commit id."""
    message = f"{path} does not exist in {resource} at {commit_id[:12]}"
    return HubError(message, status=404, error_code="EntryNotFound", headers={"X-Repo-Commit": commit_id})


def gated(resource: Resource, *, anonymous: bool) -> HubError:
    """Return the answer for the files of a gated repository."""
    message = f"{resource.short} is gated: its files are for signed-in users and for the repository's own CI jobs"
    return HubError(message, status=401 if anonymous else 403, error_code="GatedRepo")


def too_large(message: str) -> HubError:
    """Return the answer for a body or a file above its limit."""
    return HubError(message, status=413)


def printable(message: str) -> str:
    """Return a message that can be a header value: ASCII, no control characters, bounded (T18)."""
    ascii_only = message.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(char if char.isprintable() else "?" for char in ascii_only)[:MAX_MESSAGE_CHARS]


def error_response(error: HubError) -> JSONResponse:
    """Write a refusal as the client wants it."""
    message = printable(error.message)
    headers = {"X-Error-Message": message, **error.headers}
    if error.error_code is not None:
        headers["X-Error-Code"] = error.error_code
    # The client prints header and body, and leaves out the second when it equals the first.
    return JSONResponse({"error": message}, status_code=error.status, headers=headers)
