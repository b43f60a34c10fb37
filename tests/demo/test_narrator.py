"""The story is plain text, and no token gets into it."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from keyless.demo.narrator import Narrator, without_tokens
from keyless.testing import FakeIssuer, github_claims


def test_a_real_id_token_is_cut_wherever_it_stands() -> None:
    """S8: the demo shows enough of a token to recognise it, and nothing to use."""
    issuer = FakeIssuer()
    issuer.close()
    token = issuer.mint(github_claims(), aud="x")
    stream = io.StringIO()
    narrator = Narrator(stream, colour=False)
    narrator.command({"HF_OIDC_ID_TOKEN": token}, ["hf", "upload", f"hf_jwt_{token}"])
    narrator.quote(f"Authorization: Bearer {token}\n{{'subject_token': '{token}'}}")
    narrator.say(token)
    narrator.row("x", f"kl_{token}")
    narrator.verdict(False, token)
    narrator.line(token)

    for start in range(12, len(token) - 12, 12):
        assert token[start : start + 12] not in stream.getvalue()
    assert "eyJ" in stream.getvalue()


@given(st.text(alphabet="abcXYZ019-_", min_size=20, max_size=60), st.sampled_from(["", "kl_", "hf_jwt_", "hf_oauth_"]))
def test_no_part_of_a_token_survives(body: str, prefix: str) -> None:
    """S8: whatever the prefix and the letters."""
    cut = without_tokens(f"see {prefix}eyJ{body}.{body}.{body} there")

    assert body[8:] not in cut
    assert cut.endswith("… there")


def test_without_colour_there_is_no_escape_sequence() -> None:
    """A log reads the same as a terminal."""
    stream = io.StringIO()
    narrator = Narrator(stream, colour=False)
    narrator.heading("One")
    narrator.verdict(True, "fine")
    narrator.verdict(False, "not fine")

    assert "\x1b" not in stream.getvalue()
    assert "1. One" in stream.getvalue()


def test_long_output_loses_its_middle() -> None:
    """A newcomer sees the beginning and the end."""
    stream = io.StringIO()
    Narrator(stream, colour=False).quote("\n".join(f"line {number}" for number in range(100)), lines=4)

    assert [line.strip() for line in stream.getvalue().splitlines()] == [
        "| line 0",
        "| line 1",
        "| … 96 lines …",
        "| line 98",
        "| line 99",
    ]


def test_a_silent_narrator_says_nothing() -> None:
    """`--json` prints the summary only."""
    narrator = Narrator(None, colour=True)
    narrator.heading("One")
    narrator.say("text")
