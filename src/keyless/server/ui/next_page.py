"""Where somebody goes after signing in: a page of ours and nothing else (open redirect). Pure."""

from __future__ import annotations

FIRST = "/"
MAX_CHARS = 2_000


def next_page(wanted: str | None, *, root: str) -> str:
    """Return the path below `root` that was wanted, or the first page's."""
    if wanted is None or not wanted.startswith(f"{root}/") or len(wanted) > MAX_CHARS:
        return FIRST
    path = wanted.removeprefix(root)
    plain = path.isascii() and path.isprintable() and " " not in path and "\\" not in path
    if path.startswith("//") or not plain:
        return FIRST
    return FIRST if path.startswith(("/sign-", "/signed-out", "/sessions/")) else path
