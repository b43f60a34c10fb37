"""CircleCI: a ready-made token for the organisation, and a command of the job's own `circleci` for any other audience.

Vendor documentation: "OpenID Connect tokens" and "OpenID Connect tokens with custom claims" of CircleCI Docs.
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

NAME: Final = "circleci"
TITLE: Final = "CircleCI"
SETUP: Final = "nothing; for a fork's build: pass secrets to builds from forked pull requests"

VARIABLES: Final = ("CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN")  # the newer one says more, so it is better
ROOT_ISSUER_VARIABLE: Final = "KEYLESS_CIRCLECI_ROOT_ISSUER"
_SOURCE: Final = "the circleci program"
_TRUE: Final = frozenset({"1", "on", "yes", "true"})

_NO_TOKEN_HINT: Final = """\
CircleCI gives every job an id token, so something took it away. On a self-hosted runner it is lost when the runner's
temporary directory cannot be written or is mounted noexec. Inside a container that you started by hand, pass
CIRCLE_OIDC_TOKEN_V2 on and use an image with the circleci program."""
_FORK_HINT: Final = (
    "This build was started by a pull request from a fork: CircleCI gives it no id token unless the project passes "
    "secrets to builds from forked pull requests. Publish from a push or a tag instead."
)
_MISSING_HINT: Final = (
    "CircleCI's own images and machines have it, and only it can ask for another audience than the organisation's id. "
    "In another image, install the circleci CLI, or run this step in a job of CircleCI's convenience images."
)
_FAILED_HINT: Final = (
    "Does this version of the CLI know `circleci run oidc get`? Run it in the job with standard output thrown away, "
    'because CircleCI does not mask the token: circleci run oidc get --claims \'{"aud":"x"}\' > /dev/null'
)


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
    """Say whether the job runs on CircleCI, and which of the two ways leads to a token for the audience."""
    if environ.get("CIRCLECI") != "true":
        return None
    tokens = [(name, environ[name].strip()) for name in VARIABLES if environ.get(name, "").strip()]
    if not tokens:
        forked = environ.get("CIRCLE_PR_NUMBER") or environ.get("CIRCLE_PR_REPONAME")  # set for forks only
        error = IdTokenPermissionError(
            "this CircleCI job has no id token", hint=_FORK_HINT if forked else _NO_TOKEN_HINT
        )
        return CannotMint(NAME, error)
    with import_lock:
        from keyless.providers.handed_over import HandedOverToken
        from keyless.providers.ready_made import is_for

    for name, token in tokens:
        if is_for(token, audience):
            return HandedOverToken(NAME, name, Secret(token))
    rooted = environ.get(ROOT_ISSUER_VARIABLE, "").strip().lower() in _TRUE
    return CircleCiMint(Secret(tokens[0][1]), rooted=rooted)


class CircleCiMint(CanMint):
    """The `circleci` program of a job; every call mints a new token of an hour.

    Args:
        token: The job's ready-made token, which tells this job from any other.
        rooted: Ask for the issuer all organisations share, instead of the organisation's own.
    """

    __slots__ = ("_rooted",)

    def __init__(self, token: Secret, *, rooted: bool) -> None:
        identity = Secret(f"{'root' if rooted else 'organisation'}\n{token.reveal()}")
        super().__init__(NAME, identity=identity, mints_anew=True, variables=VARIABLES)
        self._rooted = rooted

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Run `circleci run oidc get` (see `CanMint.mint`)."""
        with import_lock:
            import json

            from keyless.providers.program import read_printed_token, run_program

        words = ["circleci", "run", "oidc", "get", "--claims", json.dumps({"aud": audience}, separators=(",", ":"))]
        if self._rooted:
            words.append("--root-issuer")
        finished = run_program(
            words,
            source=_SOURCE,
            environ=environ,
            deadline=deadline,
            missing_hint=_MISSING_HINT,
            late_hint="CircleCI may be failing. Run the job again; see CircleCI's status page.",
        )
        if finished.status != 0:
            if any(phrase in finished.complaint.lower() for phrase in ("timeout", "connection refused", "503", "502")):
                raise MintUnavailableError(
                    f"{_SOURCE} could not reach CircleCI (exit status {finished.status})", hint="Run the job again."
                )
            raise MintError(f"{_SOURCE} failed with exit status {finished.status}", hint=_FAILED_HINT)
        return Secret(read_printed_token(finished, source=_SOURCE, hint=_FAILED_HINT))
