"""Dead links are found: in the pages as they are, and in what a site is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.docs.links import anchors_of, dead_in_pages, dead_in_site, links_of, malformed


def test_no_link_of_our_pages_is_dead() -> None:
    """What a reader follows leads to a page, and to its heading."""
    assert list(dead_in_pages()) == []


@pytest.mark.parametrize(
    "link", ["other.md", "../outside.md", "docs/page.md#no-such-heading", "#nor-this", "http://example.org/"]
)
def test_a_dead_link_of_a_page_is_found(tmp_path: Path, link: str) -> None:
    """The check above can fail, and finds each kind by itself."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("# Page\n\n## A heading\n")
    good = "[p](docs/page.md) [h](docs/page.md#a-heading) [m](#title) [e](https://example.org/x)"
    (tmp_path / "README.md").write_text(f"# Title\n\n{good}\n")
    assert list(dead_in_pages(tmp_path)) == []

    (tmp_path / "README.md").write_text(f"# Title\n\n{good} [x]({link})\n")
    (found,) = dead_in_pages(tmp_path)

    assert link in found


def test_code_holds_no_links() -> None:
    """What looks like one in an example is left alone."""
    assert links_of("`[a](b)`\n\n```python\nx[0](y)\n```\n\n[c](d)\n\n[e]: f\n") == ["d", "f"]


def test_headings_of_one_name_are_counted(tmp_path: Path) -> None:
    """As code hosts do: the second has a number."""
    page = tmp_path / "page.md"
    page.write_text("# A `b` & [c](d)!\n\n## Twice\n\n```sh\n# no heading\n```\n\n## Twice\n")

    assert anchors_of(page) == {"a-b--c", "twice", "twice-1"}


@pytest.mark.parametrize("link", ["http://example.org", "ftp://example.org", "https://localhost/", "https://u@h.org/"])
def test_the_form_of_a_link_to_elsewhere_is_checked(link: str) -> None:
    """Nobody is asked, so what can be seen is looked at."""
    assert malformed(link) is not None


@pytest.mark.parametrize(
    "bad",
    [
        '<a href="gone.html">x</a>',
        '<a href="other.html#gone">x</a>',
        '<a href="#gone">x</a>',
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.org/x.css">',
        '<img src="gone.png">',
    ],
)
def test_a_dead_link_of_the_site_is_found(tmp_path: Path, bad: str) -> None:
    """Nothing leads nowhere, and nothing is loaded from elsewhere."""
    (tmp_path / "other.html").write_text('<h1 id="there">x</h1>')
    good = '<a href="other.html#there">x</a> <a href="https://example.org/">x</a>'
    (tmp_path / "index.html").write_text(good)
    assert list(dead_in_site(tmp_path)) == []

    (tmp_path / "index.html").write_text(good + bad)

    assert len(list(dead_in_site(tmp_path))) == 1


def test_a_style_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    """A font of somebody else tells him who reads."""
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / "style.css").write_text("@import 'own.css'; a { background: url(data:image/png;base64,AA==) }")
    assert list(dead_in_site(tmp_path)) == []

    (tmp_path / "style.css").write_text("b { src: url('https://fonts.example.org/a.woff2') }")

    assert len(list(dead_in_site(tmp_path))) == 1


def test_an_empty_folder_is_no_site(tmp_path: Path) -> None:
    """A build that made nothing has no dead link, and is not good for that."""
    assert len(list(dead_in_site(tmp_path))) == 1
