"""Forgejo Actions (Codeberg): GitHub's protocol, another switch, another issuer.

Vendor documentation: "Forgejo Actions | Security OpenID Connect". Forgejo's runner sets every marker of GitHub and of
Gitea as well, so it is asked first. Gitea itself gives no id tokens (seen 2026-11).
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "forgejo"
TITLE: Final = "Forgejo Actions"
SETUP: Final = "enable-openid-connect: true on the job (Forgejo 15, runner newer than 12.5.0)"

VARIABLES: Final = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
_LEG: Final = "Forgejo's id-token endpoint"

_SWITCH_HINT: Final = """\
Add this to the job (Forgejo has no permissions: key; GitHub's lines do nothing here):
    enable-openid-connect: true
It needs Forgejo 15 or newer and a runner newer than 12.5.0."""
_PULL_REQUEST_HINT: Final = (
    "This run was started by a pull request: Forgejo gives no id token to one from a fork. Publish from a push or a "
    "tag instead."
)
REFUSED: Final = {
    0: "The request token is valid only while its job runs; a copied or old one is refused.",
    400: "The request URL belongs to another run than the request token: pass both variables on, from the same job.",
}
_OUTAGE: Final = "Forgejo answers 500 when the task is not running (any more). Run the job again."


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether the job runs on Forgejo, and whether it may mint.

    A runner without the feature exports both request variables as empty texts, so empty counts as unset.
    """
    if not environ.get("FORGEJO_ACTIONS"):
        return None
    url, token = (environ.get(name, "").strip() for name in VARIABLES)
    if url and token:
        return ForgejoMint(url, Secret(token))
    hint = _SWITCH_HINT
    if environ.get("GITHUB_EVENT_NAME", "") == "pull_request":
        hint = f"{_SWITCH_HINT}\n{_PULL_REQUEST_HINT}"
    return CannotMint(NAME, IdTokenPermissionError("this Forgejo job may not request an id token", hint=hint))


class ForgejoMint(CanMint):
    """The id-token endpoint of one Forgejo job; every call mints a new token."""

    __slots__ = ("_token", "_url")

    def __init__(self, url: str, token: Secret) -> None:
        super().__init__(NAME, identity=Secret(f"{url}\n{token.reveal()}"), mints_anew=True, variables=VARIABLES)
        self._url = url
        self._token = token

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Ask Forgejo for an id token (see `CanMint.mint`)."""
        with import_lock:
            from keyless.providers.endpoint import Words, ask, read_member
            from keyless.providers.github import add_audience

        words = Words(_LEG, refused=REFUSED, outage=_OUTAGE)
        answer = ask(
            "GET",
            add_audience(self._url, audience),
            words=words,
            deadline=deadline,
            environ=environ,
            headers={"Authorization": f"Bearer {self._token.reveal()}"},
            secrets=[self._token.reveal()],
        )
        return Secret(read_member(answer, "value", words))
