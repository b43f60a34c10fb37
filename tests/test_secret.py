"""A secret does not show itself (S8)."""

from __future__ import annotations

import copy
import pickle

import pytest

from keyless.secret import Secret

VALUE = "correct-horse-battery-staple-\udcff"


@pytest.fixture
def secret() -> Secret:
    return Secret(VALUE)


def test_only_reveal_gives_the_value(secret: Secret) -> None:
    """Every other way to text hides it."""
    assert secret.reveal() == VALUE
    assert [repr(secret), f"{secret}", f"{secret:>10}", f"{secret!r}", repr([secret])] == [
        "Secret('***')",
        "***",
        "***",
        "Secret('***')",
        "[Secret('***')]",
    ]


def test_str_refuses(secret: Secret) -> None:
    """A forgotten reveal() fails loudly instead of sending three stars."""
    with pytest.raises(TypeError):
        str(secret)


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_cannot_be_copied_or_stored(secret: Secret, act: object) -> None:
    """Pickles end in caches and queues."""
    assert callable(act)
    with pytest.raises(TypeError):
        act(secret)


def test_equality_and_hash_follow_the_value(secret: Secret) -> None:
    """It can be a dictionary's key."""
    assert secret == Secret(VALUE)
    assert secret != Secret("other")
    assert secret != VALUE
    assert {secret: 1}[Secret(VALUE)] == 1


def test_an_empty_secret_is_false(secret: Secret) -> None:
    """So that "is there one?" needs no look at it."""
    assert secret
    assert not Secret("")
