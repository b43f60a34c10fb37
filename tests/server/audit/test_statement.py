from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import TokenError
from keyless.jose.jwk import KeySet
from keyless.jose.signing import SigningKey
from keyless.server.audit.statement import (
    ANCHOR_TYP,
    CHECKPOINT_TYP,
    Anchor,
    Checkpoint,
    read_anchor,
    read_checkpoint,
)

KEYS = {name: SigningKey.generate(name) for name in ("Ed25519", "ES256")}
CHECKPOINT = Checkpoint(3, 1_800_000_000, "ab" * 32, False, {"w_1": (7, bytes(32)), "w_2": (1, bytes(range(32)))})
ANCHOR = Anchor("w_1", 7, bytes(range(32)), 1_800_000_000)


def trusted(key: SigningKey) -> KeySet:
    return KeySet.of([key.public_key()])


@pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
def test_what_was_signed_is_read_back(key: SigningKey) -> None:
    """D15: both kinds of key, both kinds of statement."""
    assert read_checkpoint(CHECKPOINT.sign(key), trusted(key)) == CHECKPOINT
    assert read_anchor(ANCHOR.sign(key), trusted(key)) == ANCHOR


def test_nobody_elses_statement_is_read() -> None:
    """D15: another key, another algorithm under the same name, another kind of statement, no statement at all."""
    key, other = KEYS["Ed25519"], KEYS["ES256"]
    forged = dataclasses.replace(SigningKey.generate("Ed25519"), kid=key.kid)
    for statement in (
        CHECKPOINT.sign(other),
        CHECKPOINT.sign(forged),
        CHECKPOINT.sign(dataclasses.replace(other, kid=key.kid)),
        ANCHOR.sign(key),
        key.sign({"number": 1}, typ=CHECKPOINT_TYP),
        "",
        "a.b.c",
    ):
        with pytest.raises(TokenError):
            read_checkpoint(statement, trusted(key))
    for statement in (CHECKPOINT.sign(key), ANCHOR.sign(other), key.sign({"writer": 1}, typ=ANCHOR_TYP)):
        with pytest.raises(TokenError):
            read_anchor(statement, trusted(key))


@pytest.mark.parametrize(
    "change",
    [
        *({"number": "1"}, {"number": True}, {"number": -1}, {"at": None}, {"previous": 1}, {"heads": []}),
        *({"heads": {"w": [1]}}, {"heads": {"w": ["1", "ab" * 32]}}, {"heads": {"w": [1, "ab"]}}),
        *({"heads": {"w": [1, "zz" * 32]}}, {"heads": {"w": 1}}),
    ],
    ids=repr,
)
def test_a_signed_statement_of_another_shape_is_refused(change: dict[str, object]) -> None:
    """V10: our own key does not make nonsense sense."""
    key = KEYS["Ed25519"]
    claims = {"number": 1, "at": 1, "previous": "", "whole": False, "heads": {}, **change}

    with pytest.raises(TokenError):
        read_checkpoint(key.sign(claims, typ=CHECKPOINT_TYP), trusted(key))


@given(st.data())
def test_no_character_can_be_changed(data: st.DataObject) -> None:
    """D15, T12: a statement has one spelling."""
    key = KEYS["Ed25519"]
    statement = CHECKPOINT.sign(key)
    place = data.draw(st.integers(0, len(statement) - 1))
    other = data.draw(st.sampled_from("ABCDabcd0189-_.=+ ").filter(lambda c: c != statement[place]))

    with pytest.raises(TokenError):
        read_checkpoint(statement[:place] + other + statement[place + 1 :], trusted(key))


def test_a_checkpoint_holds_a_hundred_thousand_writers() -> None:
    """D15: one for each process that ever wrote; the limits of foreign tokens are not its limits."""
    heads = {f"w_{number:016x}": (number, bytes(32)) for number in range(100_000)}
    key = KEYS["Ed25519"]
    checkpoint = Checkpoint(1, 1, "", True, heads)

    assert read_checkpoint(checkpoint.sign(key), trusted(key)) == checkpoint
