"""The README's terminal recording shows what the commands print today, but for ids, ports and times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from scripts import recording
from tests.journeys.conftest import find_hf

pytestmark = pytest.mark.journey
_ID = re.compile(r"pub_\w+|\b[0-9a-f]{12,}\b")


def recorded() -> list[str]:
    """Return the lines of the committed picture."""
    root = ET.fromstring(recording.PICTURE.read_text(encoding="utf-8"))
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def constant(lines: Sequence[str]) -> str:
    """Return a text without what differs between two runs; where lines are broken depends on it, too.

    How far an upload has come is shown when hf has the time to.
    """
    lines = [line for line in lines if not line.startswith("Uploading...")]
    return "".join(re.sub(r"\d+", "0", _ID.sub("ID", "\n".join(lines).replace("\n", " "))).split())


def test_the_recording_is_what_is_printed_today() -> None:
    """Made anew, with the real client in a real terminal."""
    lines = recording.record(find_hf("2.4.0"))

    assert constant([line.text for line in lines]) == constant(recorded())
    assert [line.at for line in lines] == sorted(line.at for line in lines)
