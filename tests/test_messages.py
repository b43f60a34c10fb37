"""The messages as one set: what happened and where, in one clause; what to do, in sentences. One voice."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyless import errors
from scripts.docs.errors import error_classes

SOURCE = Path(__file__).resolve().parents[1] / "src" / "keyless"
NAMES = {kind.__name__ for kind in error_classes()} | {"UsageError", "BodyTooLargeError", "DemoError"}
HOLE = "\N{WHITE SQUARE}"  # stands where a message names something


@dataclass(frozen=True)
class Message:
    """What one `raise` says, as far as it stands in the source."""

    place: str
    text: str
    hint: str


def words(node: ast.expr | None) -> str | None:
    """Return a text with a hole for each value in it, or `None` when it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(words(part) or HOLE for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{words(left) or HOLE}{words(right) or HOLE}"
        case ast.IfExp(body=body):
            return words(body)
    return None


def messages() -> Iterator[Message]:
    """Yield the message of each error that is made with its own words."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called not in NAMES or not node.args:
                continue
            text = words(node.args[0])
            hint = words(next((given.value for given in node.keywords if given.arg == "hint"), None))
            if text is not None:
                yield Message(f"{path.relative_to(SOURCE)}:{node.lineno}", text, hint or "")


MESSAGES = list(messages())


def test_there_are_messages_to_look_at() -> None:
    """A scan that finds nothing proves nothing."""
    assert len(MESSAGES) > 300
    assert len([message for message in MESSAGES if message.hint]) > 100


def test_a_message_is_one_clause() -> None:
    """It follows `keyless: code: `, so it has no full stop at its end and no line of its own."""
    wrong = [m for m in MESSAGES if re.search(r"[.!]$|\n|^\s|\s$|  ", m.text)]

    assert [f"{m.place}: {m.text!r}" for m in wrong] == []


def test_a_message_begins_small_but_for_names() -> None:
    """A capital letter begins a name: a platform, a variable, a standard."""
    wrong = [
        m for m in MESSAGES if re.match(r"(The|A|An|This|There|No|It|You|Cannot|Could|Must|Please|Invalid)\b", m.text)
    ]

    assert [f"{m.place}: {m.text!r}" for m in wrong] == []


def test_nobody_is_scolded_or_begged() -> None:
    """Plain words: what is so, and what to do."""
    blamed = re.compile(
        r"\b(please|sorry|oops|error|illegal|bad|you must|you should|failed to|unexpected)\b", re.IGNORECASE
    )
    wrong = [m for m in MESSAGES if blamed.search(f"{m.text} {m.hint}")]

    assert [f"{m.place}: {m.text!r} {m.hint!r}" for m in wrong] == []


def test_a_hint_is_a_sentence() -> None:
    """It begins as one and ends as one, or with what is to be typed."""
    begun = re.compile(rf"[A-Z`{HOLE}]|--|keyless |pip |chmod ")
    cut = (",", ":", ";", " ")
    wrong = [m for m in MESSAGES if m.hint and (not begun.match(m.hint) or m.hint.endswith(cut))]

    assert [f"{m.place}: {m.hint!r}" for m in wrong] == []


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.code)
def test_every_class_has_a_code_of_its_own_and_says_what_it_is(kind: type[errors.Error]) -> None:
    """Snake case, used by one class; its docstring is its meaning in the reference."""
    same = [other for other in error_classes() if other.code == kind.code]

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert same == [kind]
    assert re.match(r"[A-Z].*\.", (kind.__doc__ or "").partition("\n")[0])
