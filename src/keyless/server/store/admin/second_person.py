"""What one person asks for and another lets in (T110): a publisher waits, paused, and says for whose change."""

from __future__ import annotations

from typing import Final

from keyless.errors import ConfigurationError
from keyless.server.store.admin.change import Change

_PREFIX: Final = "second_person:"


def waiting_columns(change: Change) -> dict[str, object]:
    """Return the columns of a publisher that waits for somebody else; none where nobody is asked."""
    if not change.second_person:
        return {}
    return {"enabled": 0, "paused_at": change.at, "paused_reason": f"{_PREFIX}{change.actor}"}


def asked_by(reason: str | None) -> str | None:
    """Return who asked for what waits, or `None` for any other pause."""
    return reason.removeprefix(_PREFIX) if reason is not None and reason.startswith(_PREFIX) else None


def check_another(change: Change, reason: str | None) -> None:
    """Refuse that one lets in what one asked for oneself.

    Raises:
        ConfigurationError: It is so.
    """
    if change.second_person and asked_by(reason) == change.actor:
        raise ConfigurationError(
            "you asked for this yourself, and a second person has to let it in",
            hint="Any other owner of its namespace can: on the publisher's page, or with keyless trust resume.",
        )
