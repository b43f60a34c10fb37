"""The system's own Chromium, driven by playwright, and a service to show."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser, Page, sync_playwright

from keyless.server.store.admin import People
from tests.support.running import RunningService

# Chromium as root has no sandbox of its own, and asks nobody outside for anything.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Every page there is, by the name of its picture; tests/server/ui/test_every_route.py sees that none is missing.
PICTURED = {
    "overview": "/",
    "resources": "/resources",
    "resource": "/resources/models/acme/model",
    "publisher": "/publishers/{publisher}",
    "add-a-publisher": "/publishers/new?provider=github&resource=acme/new&repository=acme/widgets&branch=main"
    "&pin_first_use=1&preview=1",
    "change-a-publisher": "/publishers/{publisher}/edit",
    "refusal": "/exchanges/{event}",
    "audit": "/audit",
    "event": "/audit/{event}",
    "chain": "/audit/verify",
    "tokens": "/tokens",
    "issuers": "/issuers",
    "keys": "/keys",
    "people": "/people",
    "sessions": "/sessions",
    "sign-in": "/sign-in",
    "not-found": "/nothing",
}
PICTURED_AT_A_PROVIDER = {
    "sign-in-with-a-provider": "/sign-in",
    "not-signed-in": "/sign-in/callback?code=x&state=y",
    "signed-out": "/signed-out",
}


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; a missing one is a failure."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def pages_url(service: RunningService) -> str:
    """Return where a running service shows its pages."""
    log = (service.directory / "serve.log").read_text()
    found = re.findall(r"inside on (http://\S+)", log)
    assert found, log
    return f"{found[-1]}/ui"


def code_for(service: RunningService, name: str | None) -> str:
    """Return a one-time code: for somebody, or the bootstrap code."""
    administration = service.administration()
    try:
        people = People(administration)
        return (people.make_bootstrap_code() if name is None else people.make_login_code(name)).reveal()
    finally:
        administration.close()


def violations(page: Page) -> list[str]:
    """Return what the accessibility rules find on a page: rule, impact, and the first place."""
    found = Axe().run(page).response["violations"]
    return [f"{item['id']} ({item['impact']}): {item['nodes'][0]['html'][:120]}" for item in found]


def shot(page: Page, folder: Path, name: str) -> None:
    """Save a picture of the whole page."""
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
