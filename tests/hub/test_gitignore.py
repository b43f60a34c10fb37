from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.hub.gitignore import GitIgnore


@pytest.mark.parametrize(
    "text, path, ignored",
    [
        ("*.log", "a.log", True),
        ("*.log", "deep/down/a.log", True),
        ("*.log", "a.log.txt", False),
        ("/a.txt", "a.txt", True),
        ("/a.txt", "b/a.txt", False),
        ("build/", "build/x/y", True),
        ("build/", "src/build/y", True),
        ("build/", "build", False),
        ("a/b", "a/b", True),
        ("a/b", "x/a/b", False),
        ("**/cache", "x/y/cache/z", True),
        ("logs/**", "logs/a/b", True),
        ("logs/**", "logs", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("*.log\n!keep.log", "keep.log", False),
        ("!keep.log\n*.log", "keep.log", True),
        ("dir/\n!dir/keep", "dir/keep", True),
        ("# note\n\n*.o", "# note", False),
        ("\\#x", "#x", True),
        ("\\!x", "!x", True),
        ("\\*", "*", True),
        ("\\*", "a", False),
        ("[^a].txt", "b.txt", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "a.txt", True),
        ("[!ab].txt", "a.txt", False),
        ("[!ab].txt", "c.txt", True),
        ("x   ", "x", True),
        (".env", "sub/.env", True),
        ("*", "anything", True),
        ("[", "[", True),
        ("", "a", False),
    ],
)
def test_rules_mean_what_git_means(text: str, path: str, ignored: bool) -> None:
    """D25: what the author keeps out of the repository stays out (git manual page "gitignore")."""
    assert GitIgnore(text).ignores(path) is ignored


@given(st.text(), st.text(min_size=1))
def test_any_text_gives_an_answer(text: str, path: str) -> None:
    """T11: the text comes from outside."""
    GitIgnore(text).ignores(path)


def test_nasty_pattern_does_not_burn_time() -> None:
    """T11: wildcards are bounded, so matching stays cheap."""
    rules = GitIgnore("\n".join(["*a" * 50, "**/" * 20 + "b", "*a*a*a*a*a*a*a*b", "*" + "a" * 90 + "b"] * 125))
    started = time.monotonic()

    rules.ignores("/".join(["a" * 250] * 4))

    assert time.monotonic() - started < 2
