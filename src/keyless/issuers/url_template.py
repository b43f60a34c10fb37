"""Knowing a kind of issuer by its URL: templates whose placeholders have closed character sets (S09, T23, T38). Pure.

`https://token.actions.githubusercontent.com/<enterprise>` stands for every URL of exactly that shape. The whole URL has
to fit, and no placeholder can hold a `/`, `@`, `?` or `#`. A template only says which profile a new issuer record gets:
tokens are compared with the record, byte for byte.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HEX: Final = "[0-9a-f]"

PLACEHOLDERS: Final = {
    "host": rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?",
    "subdomain": _LABEL,
    "enterprise": "[A-Za-z0-9-]+",  # T38: looser, and any path of the shared host would do
    "workspace": "[A-Za-z0-9_-]+",
    "uuid": rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "region": "[a-z0-9-]+",
    "cluster": "[A-Z0-9]+",
    "name": "[A-Za-z0-9-]+",
}
"""What each placeholder may stand for; none of them can be empty."""


def fits_template(template: str, url: str) -> bool:
    """Tell whether the whole URL has the shape of a template.

    Raises:
        KeyError: The template has a placeholder that is not known (a programming mistake).
    """
    return _compiled(template).fullmatch(url) is not None


@cache  # as many as there are templates in the profiles
def _compiled(template: str) -> re.Pattern[str]:
    parts = re.split(r"<([a-z]+)>", template)
    return re.compile("".join(PLACEHOLDERS[part] if index % 2 else re.escape(part) for index, part in enumerate(parts)))
