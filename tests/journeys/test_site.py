"""The site of the documentation, as `make docs` makes it, in a real browser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request

from scripts.docs.links import dead_in_site
from tests.journeys.browser import open_browser, violations
from tests.support.pages import ROOT

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

# One of each sort: the first page, prose and commands, a wide table, a long reference, a how-to, a decision.
PAGES = ("index", "tutorial", "comparison", "reference/http-api", "how-to/ci/gitlab", "decisions/0002-dependencies")


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Make a site, as the Makefile does."""
    program = ROOT / ".venvs/docs/bin/sphinx-build"
    if not program.exists():
        pytest.fail(f"{program} is missing: run `make journeys`")
    return subprocess.run(
        [program, "-E", "-W", "--keep-going", "-q", "-b", "html", "-d", target / "cache", source, target / "site"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    target = tmp_path_factory.mktemp("site")
    built = build(ROOT / "docs", target)
    assert (built.returncode, built.stderr) == (0, "")
    return target / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with open_browser() as browser:
        yield browser


def opened(browser: Browser, site: Path, name: str, *, scripts: bool, scheme: str) -> tuple[Page, list[str]]:
    """Open a page of the site; also what it asked for that is not in the site."""
    context = browser.new_context(java_script_enabled=scripts, color_scheme=scheme)  # type: ignore[arg-type]  # a Literal
    page = context.new_page()
    elsewhere: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("file://", "data:")):
            elsewhere.append(request.url)

    page.on("request", note)
    page.goto(f"file://{site / name}.html")
    return page, elsewhere


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    """Every link, every anchor, and everything that a page loads."""
    assert list(dead_in_site(site)) == []


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    """`make docs` fails, and says where."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0"\n')
    conf = (ROOT / "docs/conf.py").read_text()
    start, end = conf.index("PAGES: Final"), conf.index('"""The captions')
    empty = f"{conf[:start]}PAGES: Final[dict[str, list[str]]] = {{}}\n{conf[end:]}".replace(
        '("how-to/ci", "decisions")', "()"
    )
    (tmp_path / "docs/conf.py").write_text(empty)
    for text, status in (("[a](#title)", 0), ("[a](#nowhere)", 1), ("[a](nowhere.md)", 1)):
        (tmp_path / "docs/index.md").write_text(f"# Title\n\n{text}\n")
        built = build(tmp_path / "docs", tmp_path / "out")
        assert (built.returncode, "nowhere" in built.stderr) == (status, bool(status)), built.stderr


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(browser: Browser, site: Path, name: str, scheme: str) -> None:
    """No serious violation of the accessibility rules, and nothing loaded from elsewhere."""
    page, elsewhere = opened(browser, site, name, scripts=True, scheme=scheme)
    try:
        assert [one for one in violations(page) if "(critical)" in one or "(serious)" in one] == []
        assert elsewhere == []
    finally:
        page.context.close()


def test_it_is_complete_without_scripts_light_and_dark(browser: Browser, site: Path) -> None:
    """What the page says is in the page; its colours follow the reader's."""
    backgrounds = set()
    for scheme in ("light", "dark"):
        page, elsewhere = opened(browser, site, "tutorial", scripts=False, scheme=scheme)
        try:
            assert page.get_by_role("heading", name="8. Tidy up").is_visible()
            assert page.get_by_role("link", name="Trusted publishers", exact=True).count() > 0
            backgrounds.add(page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor"))
            assert elsewhere == []
        finally:
            page.context.close()
    assert len(backgrounds) == 2
