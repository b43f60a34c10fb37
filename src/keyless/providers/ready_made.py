"""Id tokens that a platform put into a variable before the job began, for an audience of its own choice."""

from __future__ import annotations

from keyless.errors import MintError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyless.http.deadline import Deadline
    from keyless.secret import Secret


def is_for(token: str, audience: str) -> bool:
    """Return whether a token, unverified, names this audience; False for what is no token at all."""
    with import_lock:
        from keyless.providers.unverified import read_unverified_claims
    try:
        found = read_unverified_claims(token, source="the token").get("aud")
    except MintError:
        return False
    return bool(audience) and (found == audience or (isinstance(found, list) and audience in found))


class FixedAudienceToken(CanMint):
    """The one token of a job, for an audience that the platform decides about.

    Args:
        provider: Name of the platform.
        variable: Name of the variable it is in.
        token: The token.
    """

    __slots__ = ("_token", "_variable")

    def __init__(self, provider: str, variable: str, token: Secret) -> None:
        super().__init__(provider, identity=token, mints_anew=False, variables=(variable,))
        self._variable = variable
        self._token = token

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:  # noqa: ARG002  # one shape
        """Return the token after a look at its shape (see `CanMint.mint`); its audience is the service's to judge."""
        with import_lock:
            from keyless.providers.unverified import read_unverified_claims

        read_unverified_claims(self._token.reveal(), source=self._variable)
        return self._token
