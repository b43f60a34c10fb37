"""The whole way of a person, in real Chromium: from the bootstrap code to signing out, with JavaScript and without.

The identity provider is npm's oidc-provider with its own pages, the jobs are FakeCI's, the service is a process.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from keyless.testing import FakeIssuer
from tests.journeys.browser import PICTURED_AT_A_PROVIDER, code_for, pages_url, shot, violations
from tests.journeys.provider_process import CLIENT_ID, IdentityProvider, run_provider
from tests.journeys.test_pages import PICTURES, SIZES, job, sign_in
from tests.support.running import RunningService

pytestmark = pytest.mark.journey

WORKFLOW = "https://github.com/acme/widgets/blob/main/.github/workflows/train.yml"


@pytest.fixture
def service(tmp_path: Path, issuer: FakeIssuer) -> Iterator[RunningService]:
    """Return a service whose people sign in at a provider of its own."""
    folder = tmp_path / "service"
    folder.mkdir()
    running = RunningService(folder, issuer)
    pages = f"http://127.0.0.1:{running.inside_port}"
    with run_provider(tmp_path, pages, {"alex": ["platform"], "olga": ["ml"]}) as provider:
        set_up(running, pages, provider)
        running.start()
        yield running
        running.stop()


def set_up(service: RunningService, pages: str, provider: IdentityProvider) -> None:
    secret = service.directory / "provider.secret"
    secret.touch(0o600)
    secret.write_text(provider.secret)
    settings = service.directory / "keyless.toml"
    settings.write_text(
        settings.read_text() + f'pages_url = "{pages}"\n\n[sign_in]\nissuer = "{provider.url}"\n'
        f'client_id = "{CLIENT_ID}"\nclient_secret_file = "provider.secret"\nname = "Acme"\nnetwork = "loopback"\n'
        'scopes = ["openid", "profile", "groups"]\nroles_claim = "groups"\n\n'
        '[sign_in.roles]\nplatform = ["admin"]\nml = ["owner:acme"]\n'
    )


def prove(page: Page, root: str, name: str) -> None:
    """Type a name and a password into the provider's own page, and agree to what it asks."""
    page.locator('input[name="login"]').fill(name)
    page.locator('input[name="password"]').fill("correct horse battery staple")
    page.locator('button[type="submit"]').click()
    if not page.url.startswith(root):
        page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{root}/**")


def grow_old(service: RunningService) -> None:
    """Let an hour pass since everybody's last proof."""
    administration = service.administration()
    with administration.together() as change:
        change.connection.exec_driver_sql("UPDATE web_session SET proven_at = proven_at - 3600")
    administration.close()


def check(page: Page) -> None:
    """Hold the page that is shown against the accessibility rules."""
    assert violations(page) == [], page.url


@pytest.mark.parametrize("scripts", [True, False], ids=["javascript", "no javascript"])
def test_from_the_bootstrap_code_to_signing_out(
    chromium: Browser, service: RunningService, issuer: FakeIssuer, *, scripts: bool
) -> None:
    """S10, D12, D13, T110: everything that an admin does on the first day, by keyboard and mouse alone."""
    context = chromium.new_context(java_script_enabled=scripts)
    page = context.new_page()
    root = pages_url(service)

    # The first admin comes by the code that is printed on the service's machine, and goes.
    sign_in(page, root, code_for(service, None), "root", details=True)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    # Everybody else comes by the identity provider, whose groups say what they may do.
    page.goto(f"{root}/resources")
    page.get_by_role("link", name="Sign in with Acme").click()
    prove(page, root, "alex")
    expect(page.get_by_role("heading", name="Resources")).to_be_visible()
    expect(page.get_by_role("link", name="People")).to_be_visible()

    # A publisher out of a pasted address; the proof is an hour old, so the provider asks once more.
    grow_old(service)
    page.get_by_role("link", name="Add a publisher").click()
    page.get_by_label("Address of the repository").fill(WORKFLOW)
    page.get_by_role("button", name="Fill in from the address").click()
    page.get_by_label("Resource", exact=True).fill("acme/fresh")
    page.get_by_label("or issuer").fill(issuer.url)
    page.get_by_label("Take those that are empty").check()
    page.get_by_role("button", name="Look at what it would require").click()
    page.get_by_role("button", name="Add this publisher").click()
    expect(page.get_by_role("heading", name="Prove again who you are")).to_be_visible()
    if scripts:
        check(page)
    page.get_by_role("link", name="Go on with Acme").click()
    prove(page, root, "alex")
    expect(page.get_by_role("heading", name="It would require")).to_be_visible()
    page.get_by_role("button", name="Add this publisher").click()
    expect(page.get_by_role("status")).to_contain_text("Added.")

    # The job of another branch is refused; the page says by which claim, and makes the publisher that lets it in.
    assert job(service, issuer, resource="acme/fresh")[0] == 0
    assert job(service, issuer, branch="dev", resource="acme/fresh")[0] == 4
    page.get_by_role("link", name="Resources").click()
    page.get_by_role("link", name="acme/fresh").click()
    page.locator("table", has_text="Recent exchanges").get_by_role("link").first.click()
    differing = page.locator("tr.differs")
    assert differing.count() == 1
    assert differing.inner_text().split() == ["branch", "'main'", "dev", "differs"]
    page.get_by_role("link", name="Make a publisher from this exchange").click()
    page.get_by_role("button", name="Look at what it would require").click()
    page.get_by_role("button", name="Add this publisher").click()
    expect(page.get_by_role("status")).to_contain_text("Added.")
    assert job(service, issuer, branch="dev", resource="acme/fresh")[0] == 0

    # Its tokens are taken back, and the person goes, here and at the provider.
    page.get_by_role("link", name="Tokens").click()
    for _ in range(2):
        page.get_by_role("button", name="Revoke the token of models/acme/fresh").first.click()
    expect(page.get_by_text("None is out.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    if scripts:
        check(page)
    page.get_by_role("link", name="Sign out at Acme, too").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    page.wait_for_url(f"{root}/sign-in**")
    page.get_by_role("link", name="Sign in with Acme").click()
    expect(page.locator('input[name="password"]')).to_be_visible()  # it asks: nobody is known there any more
    context.close()


def test_roles_are_the_groups_there(chromium: Browser, service: RunningService, issuer: FakeIssuer) -> None:
    """D13: an owner of a namespace is no admin, and whoever has no group is told why; deny by default."""
    root = pages_url(service)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{root}/resources")
    page.get_by_role("link", name="Sign in with Acme").click()
    prove(page, root, "olga")
    expect(page.get_by_role("link", name="acme/model")).to_be_visible()
    assert page.get_by_role("link", name="People").count() == 0
    context.close()

    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{root}/sign-in")
    page.get_by_role("link", name="Sign in with Acme").click()
    prove(page, root, "mallory")
    expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("nothing that it says of you gives you a role here")
    check(page)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_pages_of_signing_in_can_be_read_by_everybody(
    chromium: Browser, service: RunningService, scheme: str, size: str
) -> None:
    """The usual accessibility rules find nothing on them, and nothing is wider than the screen."""
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    root = pages_url(service)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        wide = page.evaluate("document.documentElement.scrollWidth") > width
        if problems := [*violations(page), *(["wider than the screen"] if wide else [])]:
            found[name] = problems
        if PICTURES is not None:
            shot(page, Path(PICTURES), f"{name}-{scheme}-{size}")

    for name, path in PICTURED_AT_A_PROVIDER.items():
        page.goto(root + path)
        look(name)
    page.goto(f"{root}/sign-in")
    page.get_by_role("link", name="Sign in with Acme").click()
    prove(page, root, "alex")
    grow_old(service)
    page.goto(f"{root}/sign-in")
    expect(page.get_by_role("heading", name="Prove again who you are")).to_be_visible()
    look("prove-again")
    page.goto(f"{root}/people")
    look("people-of-a-provider")
    context.close()

    assert found == {}
