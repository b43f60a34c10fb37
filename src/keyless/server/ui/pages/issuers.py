"""Issuers: their keys, and switching one off at once (T109)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyless.server.ui.visit import Answer, Html, See, Visit


def show_all(visit: Visit) -> Answer:
    """List issuers."""
    visit.reads_everything()
    return Html("issuers.html", {"issuers": visit.administration.issuers(), "may_change": visit.reader.is_admin})


def switch(visit: Visit) -> Answer:
    """Switch an issuer on or off."""
    visit.admin()
    visit.administration.set_issuer_enabled(_url(visit), enabled=visit.form.get("to") == "on")
    return See("/issuers")


def refresh(visit: Visit) -> Answer:
    """Let every process fetch the keys anew."""
    visit.admin()
    visit.administration.refresh_issuer_keys(_url(visit))
    return See("/issuers")


def distrust(visit: Visit) -> Answer:
    """Distrust one key, or trust it again."""
    visit.admin()
    kid, trusted = visit.form.get("kid", "").strip(), visit.form.get("to") == "trusted"
    visit.administration.set_issuer_key_trusted(_url(visit), kid, trusted=trusted)
    return See("/issuers")


def _url(visit: Visit) -> str:
    return visit.form.get("issuer", "")


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {
    "/issuers": {"GET": show_all},
    "/issuers/switch": {"POST": switch},
    "/issuers/refresh": {"POST": refresh},
    "/issuers/distrust": {"POST": distrust},
}
