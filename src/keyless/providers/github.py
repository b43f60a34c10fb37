"""GitHub Actions: a URL and a bearer token in the job's environment give an id token for any audience (S3).

Vendor documentation: "OpenID Connect reference" of GitHub Docs.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError, TransportError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline
    from keyless.http.transport import Response

NAME: Final = "github"
TITLE: Final = "GitHub Actions"
SETUP: Final = "permissions: id-token: write (and contents: read) on the job"

_URL_VARIABLE: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
_TOKEN_VARIABLE: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
VARIABLES: Final = (_URL_VARIABLE, _TOKEN_VARIABLE)
_LEG: Final = "GitHub's id-token endpoint"
_MAX_ANSWER_BYTES: Final = 65_536  # a real answer has 2-4 kB

_PERMISSION_HINT: Final = """\
Add this to the job (naming one permission drops all others, so checkout needs its own line):
    permissions:
      id-token: write
      contents: read
If the job is in a reusable workflow, the workflow that calls it must grant the permission too."""
_PULL_REQUEST_HINT: Final = """\
This run was started by a pull request: GitHub never gives write permissions, id-token included, to a pull request \
from a fork, whatever the workflow says. Publish from a push, a tag or a release instead."""
_DEPENDABOT_HINT: Final = """\
This run was started by Dependabot: GitHub treats it as a pull request from a fork and gives it no write permissions, \
id-token included, whatever the workflow says. Publish when its change has been merged."""
_OUTAGE_HINT: Final = "Run the job again; if it keeps failing, see GitHub's status page."
_INTERCEPTED_HINT: Final = "Something between the job and GitHub (a proxy, a sign-in page) may have answered instead."
_ACT_HINT: Final = "act runs workflows locally and cannot mint id tokens; hand one over with HF_OIDC_ID_TOKEN."


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether the job runs on GitHub Actions, and whether it may mint.

    `GITHUB_ACTIONS` must be exactly `true`. Forgejo and Gitea set it too and are other platforms; so is `act`, unless
    somebody gave it the two request variables.
    """
    if environ.get("GITHUB_ACTIONS") != "true" or environ.get("FORGEJO_ACTIONS") or environ.get("GITEA_ACTIONS"):
        return None
    url = environ.get(_URL_VARIABLE, "").strip()
    token = environ.get(_TOKEN_VARIABLE, "").strip()
    if url and token:
        return GitHubMint(url, Secret(token))
    if environ.get("ACT"):
        return None
    hint = _PERMISSION_HINT
    event = environ.get("GITHUB_EVENT_NAME", "")
    if environ.get("GITHUB_ACTOR") == "dependabot[bot]":
        hint = f"{_PERMISSION_HINT}\n{_DEPENDABOT_HINT}"
    elif event.startswith("pull_request"):
        hint = f"{_PERMISSION_HINT}\n{_PULL_REQUEST_HINT}"
    error = IdTokenPermissionError(
        "this GitHub Actions job may not request an id token: it lacks id-token: write", hint=hint
    )
    return CannotMint(NAME, error)


def act_hint(environ: Mapping[str, str]) -> str | None:
    """Return what to tell a user of `act`, or `None` elsewhere."""
    return _ACT_HINT if environ.get("ACT") else None


def add_audience(url: str, audience: str) -> str:
    """Return the request URL with `audience` added to the query it already has, which is kept byte for byte.

    GitHub's URL ends in `?api-version=2.0`, and other runners keep their state there, so it must not be replaced.
    """
    from urllib.parse import quote

    base, _, fragment = url.partition("#")
    separator = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{separator}audience={quote(audience, safe='')}" + (f"#{fragment}" if fragment else "")


class GitHubMint(CanMint):
    """The id-token endpoint of one GitHub Actions job; every call mints a new token of about five minutes."""

    __slots__ = ("_token", "_url")

    def __init__(self, url: str, token: Secret) -> None:
        super().__init__(
            NAME,
            identity=Secret(f"{url}\n{token.reveal()}"),
            mints_anew=True,
            variables=VARIABLES,
        )
        self._url = url
        self._token = token

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Ask GitHub for an id token (see `CanMint.mint`)."""
        with import_lock:
            from keyless.http.transport import AnswerError, send
        try:
            answer = send(
                "GET",
                add_audience(self._url, audience),
                headers={"Authorization": f"Bearer {self._token.reveal()}"},
                leg=_LEG,
                deadline=deadline,
                environ=environ,
                secrets=[self._token.reveal()],
                max_bytes=_MAX_ANSWER_BYTES,
            )
        except AnswerError as error:
            raise MintError(error.message, hint=error.hint or _INTERCEPTED_HINT) from None
        except TransportError as error:
            raise MintUnavailableError(error.message, hint=error.hint or _OUTAGE_HINT) from None
        return Secret(self._read(answer))

    def _read(self, answer: Response) -> str:
        if answer.status in {408, 429} or answer.status >= 500:
            raise MintUnavailableError(
                f"{_LEG} is failing (HTTP {answer.status})",
                status=answer.status,
                hint=_OUTAGE_HINT,
            )
        if answer.status != 200:
            raise MintError(
                f"{_LEG} refused (HTTP {answer.status}){self._quote(answer)}",
                status=answer.status,
                hint="The request token is valid only while its job runs; a copied or old one is refused.",
            )
        with import_lock:
            import json

        try:
            parsed = json.loads(answer.body)
        except (ValueError, RecursionError):
            parsed = None
        value = parsed.get("value") if isinstance(parsed, dict) else None
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
            raise MintError(
                f"{_LEG} answered HTTP 200 without an id token in it",
                status=answer.status,
                hint=_INTERCEPTED_HINT,
            )
        return value

    def _quote(self, answer: Response) -> str:
        with import_lock:
            from keyless.http.redact import quote_text

        kind = answer.headers.get("content-type", "")
        if "html" in kind.lower():
            return ""
        quoted = quote_text(answer.body.decode("utf-8", "replace"), [self._token.reveal()])
        return f": {quoted}" if quoted else ""
