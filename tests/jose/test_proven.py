"""Nobody but its maker makes one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from keyless.jose.proven import MadeByProof


class _Fields(NamedTuple):
    name: str


class Proof(MadeByProof, _Fields):  # type: ignore[misc]  # as those of the source
    """Such a value."""

    __slots__ = ()
    maker = "this test"


MADE: Proof = tuple.__new__(Proof, ("mallory",))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Proof("x"),
        lambda: Proof(name="x"),
        lambda: Proof._make(["x"]),
        lambda: MADE._replace(name="x"),
        lambda: copy.copy(MADE),
        lambda: pickle.loads(pickle.dumps(MADE)),
    ],
    ids=["called", "named", "_make", "_replace", "copied", "pickled"],
)
def test_every_other_way_to_make_one_is_refused(make: Callable[[], Any]) -> None:
    """V09: the type is the proof."""
    with pytest.raises(TypeError, match="only this test makes a Proof"):
        make()


def test_what_was_made_can_be_read_and_not_changed() -> None:
    """V09: it is a tuple with names."""
    assert MADE.name == "mallory"
    with pytest.raises(AttributeError):
        MADE.name = "x"  # type: ignore[misc]  # the point of the test
    with pytest.raises(AttributeError):
        MADE.more = "x"  # type: ignore[attr-defined]  # the same
