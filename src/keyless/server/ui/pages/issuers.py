"""Issuers: what their keys are and when they were fetched, distrusting one, and switching an issuer off (T109)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keyless.oidc.issuer import Issuer
from keyless.oidc.jwks_cache import KeysAtHand
from keyless.server.ui.visit import Answer, Html, PageError, See, Visit

MAX_KEYS_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What a page shows of an issuer's keys.

    Attributes:
        seen: Key ids of the last set that any process fetched.
        here: What this process holds.
        fetched_at: When it was confirmed here, in Unix seconds; `None`: not since the start.
        distrusted: Key ids that are never used, whether they are published or not.
    """

    issuer: Issuer
    seen: tuple[str, ...]
    here: KeysAtHand
    fetched_at: int | None

    @property
    def distrusted(self) -> tuple[str, ...]:
        """Return them sorted."""
        return tuple(sorted(self.issuer.distrusted_kids))

    @property
    def trusted(self) -> tuple[str, ...]:
        """Return the key ids that tokens may be signed with."""
        return tuple(kid for kid in self.seen if kid not in self.issuer.distrusted_kids)[:MAX_KEYS_SHOWN]


class Issuers:
    """The pages about issuers.

    Args:
        at_hand: What this process knows of an issuer's keys.
    """

    def __init__(self, at_hand: Callable[[Issuer], KeysAtHand]) -> None:
        self._at_hand = at_hand

    def pages(self) -> Mapping[str, Mapping[str, Callable[[Visit], Answer]]]:
        """Return the paths."""
        return {
            "/issuers": {"GET": self.show_all},
            "/issuers/switch": {"POST": switch},
            "/issuers/refresh": {"POST": refresh},
            "/issuers/distrust": {"POST": distrust},
        }

    def show_all(self, visit: Visit) -> Answer:
        """List issuers."""
        visit.reads_everything()
        found = [self._keys_of(visit, issuer) for issuer in visit.administration.issuers()]
        return Html("issuers.html", {"issuers": found, "may_change": visit.reader.is_admin})

    def _keys_of(self, visit: Visit, issuer: Issuer) -> IssuerKeys:
        here = self._at_hand(issuer)
        ago = here.fetched_seconds_ago
        seen = tuple(sorted(set(visit.store.issuer_keys(issuer.id).values())))
        return IssuerKeys(issuer, seen, here, None if ago is None else visit.now - int(ago))


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
    if not kid:
        raise PageError(422, "name the key", hint="Its id stands in the header of the tokens that it signs.")
    visit.administration.set_issuer_key_trusted(_url(visit), kid, trusted=trusted)
    return See("/issuers")


def _url(visit: Visit) -> str:
    return visit.form.get("issuer", "")
