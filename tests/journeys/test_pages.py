"""A person at the web pages, in real Chromium, with JavaScript and without."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from keyless.testing import FakeCI, FakeIssuer
from tests.journeys.browser import PICTURED, code_for, pages_url, shot, violations
from tests.support.job import run_cli
from tests.support.running import RunningService

pytestmark = pytest.mark.journey

PICTURES = os.environ.get("KEYLESS_TEST_SCREENSHOTS")  # `make screenshots` names a folder
DEV = "acme/widgets/.github/workflows/train.yml@refs/heads/dev"
SIZES = {"wide": (1280, 800), "phone": (390, 844)}


@pytest.fixture
def service(tmp_path: Path, issuer: FakeIssuer) -> Iterator[RunningService]:
    running = RunningService(tmp_path, issuer)
    running.start()
    yield running
    running.stop()


def job(
    service: RunningService, issuer: FakeIssuer, *, branch: str = "main", resource: str = "acme/model", **claims: object
) -> tuple[int, str]:
    """Run `keyless token` in a job on GitHub; return its exit status and what it said."""
    file = f"acme/widgets/.github/workflows/train.yml@refs/heads/{branch}"
    refs = {"ref": f"refs/heads/{branch}", "workflow_ref": file, "job_workflow_ref": file}
    with FakeCI.github(issuer, {**refs, **claims}) as ci:
        environ = {**ci.environ(), "HF_ENDPOINT": service.url, "HF_OIDC_RESOURCE": resource}
        done = run_cli("token", environ=environ)
    return done.returncode, done.stdout + done.stderr


def sign_in(page: Page, root: str, code: str, name: str | None = None, *, details: bool = False) -> None:
    page.goto(f"{root}/sign-in")
    if details:  # a code is the second way in where there is a provider
        page.get_by_text("With a one-time code").click()
    page.get_by_label("One-time code").fill(code)
    if name is not None:
        page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["javascript", "no javascript"])
def test_a_refused_job_is_let_in_by_its_owner(
    chromium: Browser, service: RunningService, issuer: FakeIssuer, *, scripts: bool
) -> None:
    """S10, D12, D13: sign in, see the one claim that differs, make the publisher, run again, take the token back."""
    context = chromium.new_context(java_script_enabled=scripts)
    page = context.new_page()
    root = pages_url(service)
    sign_in(page, root, code_for(service, None), "alex")
    assert job(service, issuer, branch="dev")[0] == 4

    page.get_by_role("link", name="Resources").click()
    page.get_by_role("link", name="acme/model").click()
    page.locator("table", has_text="Recent exchanges").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Why was it refused?")).to_be_visible()
    differing = page.locator("tr.differs")
    assert differing.count() == 1
    assert differing.inner_text().split() == ["branch", "'main'", "dev", "differs"]

    page.get_by_role("link", name="Make a publisher from this exchange").click()
    expect(page.get_by_label("Branch")).to_have_value("dev")
    expect(page.get_by_text("Whoever can start that job")).to_be_visible()
    page.get_by_role("button", name="Look at what it would require").click()
    expect(page.get_by_role("heading", name="It would require")).to_be_visible()
    page.get_by_role("button", name="Add this publisher").click()
    expect(page.get_by_role("status")).to_contain_text("Added.")
    assert job(service, issuer, branch="dev")[0] == 0

    page.get_by_role("link", name="Tokens").click()
    page.get_by_role("button", name="Revoke the token of models/acme/model").click()
    expect(page.get_by_text("None is out.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{root}/resources")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["javascript", "no javascript"])
def test_a_publisher_out_of_a_pasted_address(chromium: Browser, service: RunningService, *, scripts: bool) -> None:
    """S10: the workflow's address is enough; the file to commit is shown before anything counts."""
    context = chromium.new_context(java_script_enabled=scripts)
    page = context.new_page()
    root = pages_url(service)
    sign_in(page, root, code_for(service, None), "alex")
    page.goto(f"{root}/publishers/new?resource=acme/other")
    page.get_by_label("Address of the repository").fill(
        "https://github.com/acme/widgets/blob/main/.github/workflows/train.yml"
    )
    page.get_by_role("button", name="Fill in from the address").click()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("train.yml")
    page.get_by_label("Take those that are empty").check()
    page.get_by_role("button", name="Look at what it would require").click()
    expect(page.locator("pre", has_text="id-token: write")).to_be_visible()
    page.get_by_role("button", name="Add this publisher").click()
    expect(page.get_by_role("status")).to_contain_text("Added.")
    context.close()


def everything(page: Page, root: str) -> dict[str, str]:
    """Return a path to every page there is, by the name of its picture."""
    page.goto(f"{root}/resources/models/acme/model")
    publisher, exchange = (
        (page.locator(f'a[href*="{part}"]').first.get_attribute("href") or "").rpartition("/")[2]
        for part in ("/publishers/pub_", "/exchanges/")
    )
    return {name: path.format(publisher=publisher, event=exchange) for name, path in PICTURED.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_can_be_read_and_used_by_everybody(
    chromium: Browser, service: RunningService, issuer: FakeIssuer, scheme: str, size: str
) -> None:
    """The usual accessibility rules find nothing, nothing is wider than the screen, and no policy is violated."""
    assert job(service, issuer)[0] == 0
    assert job(service, issuer, branch="dev")[0] == 4
    width, height = SIZES[size]
    context: BrowserContext = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    root = pages_url(service)
    sign_in(page, root, code_for(service, None), "alex")
    found: dict[str, list[str]] = {}
    for name, path in everything(page, root).items():
        page.goto(root + path)
        wide = page.evaluate("document.documentElement.scrollWidth") > width
        if problems := [*violations(page), *(["wider than the screen"] if wide else [])]:
            found[name] = problems
        if PICTURES is not None:
            shot(page, Path(PICTURES), f"{name}-{scheme}-{size}")
    context.close()

    assert found == {}
    assert [text for text in said if "404" not in text] == []


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


def test_a_hostile_job_shows_up_harmlessly(chromium: Browser, service: RunningService, issuer: FakeIssuer) -> None:
    """T18: a job whose every claim is an attack, and a browser whose name is one: text on each page that shows them."""
    context = chromium.new_context(user_agent=f"Mozilla/5.0 {HOSTILE}")
    page = context.new_page()
    root = pages_url(service)
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    sign_in(page, root, code_for(service, None), "alex")
    claims = dict.fromkeys(("environment", "actor", "head_ref", "base_ref", "event_name", "sha", "run_id"), HOSTILE)
    claims |= {"workflow": HOSTILE, "repository": HOSTILE, "sub": HOSTILE}
    assert job(service, issuer, branch=f"x{HOSTILE}", **claims)[0] == 4

    for path in ("/", "/resources/models/acme/model", "/audit", "/sessions"):
        page.goto(root + path)
        assert "<script>alert(1)" in page.inner_text("main")
    page.goto(f"{root}/resources/models/acme/model")
    page.locator("table", has_text="Recent exchanges").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Why was it refused?")).to_be_visible()
    assert page.inner_text("main").count("<script>alert(1)</script>") > 3
    assert page.locator("main img, main script").count() == 0
    assert [link for link in page.locator("a").all() if HOSTILE in (link.get_attribute("href") or "")] == []
    context.close()

    assert said == []


def test_the_keyboard_is_enough(chromium: Browser, service: RunningService) -> None:
    """From the top: the way past the menu, a visible focus, and a form sent with the return key."""
    page = chromium.new_page()
    root = pages_url(service)
    page.goto(f"{root}/sign-in")
    page.get_by_label("One-time code").focus()
    page.keyboard.type(code_for(service, None))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.textContent")
    assert re.match("To the content", str(focused))
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.context.close()
