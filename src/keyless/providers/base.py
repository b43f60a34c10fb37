"""The shape of a provider, and the three answers to "is this you?".

*Absent* is `None`: another platform. `CannotMint` is "yes, but this job may not have an id token", with the error that
says which lines to add. `CanMint` is a way to get a token. The difference is in the types, because falling through
from the second to another credential would be the silent run that promise S6 rules out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from keyless.errors import OIDCError
    from keyless.http.deadline import Deadline
    from keyless.secret import Secret

    class Provider(Protocol):
        """A module of this room: one CI platform, or one way of being handed a token."""

        NAME: str
        TITLE: str
        SETUP: str  # what a user has to configure, in one line

        def detect(self, environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
            """Say whether this is the platform the job runs on. Reads variables only: no network, no files."""
            ...


class CannotMint:
    """The job runs on this platform, but cannot get an id token there.

    Args:
        provider: Name of the platform.
        error: Why, and in its hint what to change.
    """

    __slots__ = ("error", "provider")

    def __init__(self, provider: str, error: OIDCError) -> None:
        self.provider = provider
        self.error = error

    def __repr__(self) -> str:
        return f"CannotMint({self.provider!r}, {self.error.code!r})"


class CanMint:
    """A way to get an id token; each platform has its own child.

    Args:
        provider: Name of the platform, or `handed-over`.
        identity: What the token will depend on besides the audience; equal identities may share a cached token.
        mints_anew: True when each call gives a fresh token, False when there is one token for the whole job.
        variables: Names of the variables the token comes from, so that a child process can be run without them.
    """

    __slots__ = ("identity", "mints_anew", "provider", "variables")

    def __init__(self, provider: str, *, identity: Secret, mints_anew: bool, variables: tuple[str, ...]) -> None:
        self.provider = provider
        self.identity = identity
        self.mints_anew = mints_anew
        self.variables = variables

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Return an id token for an audience.

        Raises:
            MintUnavailableError: The platform is failing; the same call may succeed later.
            MintError: The platform refused, or its answer is not a token.
            AudienceError: The one token there is, is meant for another audience.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.provider!r}, mints_anew={self.mints_anew})"
