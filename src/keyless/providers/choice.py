"""What the user decided about providers: one to insist on, some to leave out. Pure."""

from __future__ import annotations

from keyless.errors import OIDCConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Final

CHOICE_VARIABLE: Final = "KEYLESS_PROVIDER"
OFF_VARIABLE: Final = "KEYLESS_DISABLE_PROVIDERS"


def read_choice(environ: Mapping[str, str], names: Collection[str]) -> str | None:
    """Return the provider that `KEYLESS_PROVIDER` names, or `None`.

    Raises:
        OIDCConfigurationError: It names none that exists, or one that is switched off.
    """
    chosen = environ.get(CHOICE_VARIABLE, "").strip().lower()
    if not chosen:
        return None
    require_known(chosen, names, said_by=CHOICE_VARIABLE)
    if chosen in read_disabled(environ, names):
        raise OIDCConfigurationError(f"{CHOICE_VARIABLE} insists on {chosen}, and {OFF_VARIABLE} switches it off")
    return chosen


def read_disabled(environ: Mapping[str, str], names: Collection[str]) -> frozenset[str]:
    """Return the providers that `KEYLESS_DISABLE_PROVIDERS` (names separated by commas) switches off.

    Raises:
        OIDCConfigurationError: It names one that does not exist; a misspelt name would leave a provider on.
    """
    disabled = frozenset(environ.get(OFF_VARIABLE, "").replace(",", " ").lower().split())
    for name in sorted(disabled):
        require_known(name, names, said_by=OFF_VARIABLE)
    return disabled


def require_known(name: str, names: Collection[str], *, said_by: str) -> None:
    """Refuse the name of a provider that does not exist.

    Raises:
        OIDCConfigurationError: There is no such provider. Only a short name is shown: it may be a pasted token.
    """
    if name not in names:
        shown = repr(name) if len(name) <= 24 and name.isascii() and name.isprintable() else "something else"
        raise OIDCConfigurationError(f"{said_by} names {shown}, which is none of: {', '.join(names)}")


def is_chosen(environ: Mapping[str, str], name: str) -> bool:
    """Return whether the user insists on this provider, so that it need not be cautious about being meant."""
    return environ.get(CHOICE_VARIABLE, "").strip().lower() == name
