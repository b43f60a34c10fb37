"""What `keyless exec` cannot keep fresh, told before the command runs."""

from __future__ import annotations

import os
import threading
import time

from keyless.cli.output import note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from keyless.client.exchange import ExchangedToken

SHORT_LIFETIME_SECONDS: Final = 900  # large uploads last longer than this


def warn_of_fixed(name: str, token: ExchangedToken) -> threading.Timer:
    """Say that a variable cannot be refreshed: now, and once more when its token ends while the command runs."""
    left = token.expires_at - time.monotonic()
    at = time.strftime("at %Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + left))
    note(f"keyless: {name} holds a fixed token that ends {at}, in {_duration(left)}; it cannot be refreshed there")
    late = f"keyless: the token in {name} has ended; only the file that HF_TOKEN_PATH names is kept fresh"
    timer = threading.Timer(left, note, [late])
    timer.daemon = True
    timer.start()
    return timer


def warn_of_short(tokens: Sequence[ExchangedToken]) -> None:
    """Say what refreshed files cannot save: hf sends one header from the beginning of an upload to its end."""
    shortest = min((token.expires_in for token in tokens), default=SHORT_LIFETIME_SECONDS)
    if shortest < SHORT_LIFETIME_SECONDS:
        note(
            f"keyless: tokens of this service end after {_duration(shortest)}; the file is kept fresh, but one single "
            f"upload that takes longer fails (tools read the token when it begins)"
        )


def warn_of_id_token(audience: str, tokens: Sequence[ExchangedToken]) -> None:
    """Say that the first token is the last: the one id token of the job will have ended when it is to be replaced."""
    from keyless.errors import Error
    from keyless.http.deadline import Deadline
    from keyless.providers.detect import find_mint
    from keyless.providers.unverified import read_unverified_claims

    try:
        found = find_mint(os.environ, audience)
        if found.mints_anew:
            return
        id_token = found.mint(audience, deadline=Deadline(1.0), environ=os.environ)  # it is there already
        ends_at = read_unverified_claims(id_token.reveal(), source="the job").get("exp")
    except Error:
        return
    token_left = min(token.expires_at - time.monotonic() for token in tokens)
    if isinstance(ends_at, int | float) and 0 < ends_at - time.time() < token_left:
        note(
            f"keyless: the job's one id token ends before its access token, which can therefore not be refreshed: "
            f"the command has {_duration(token_left)}. Let the platform give a longer one (GitLab: the job's timeout)"
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
