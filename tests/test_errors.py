"""The error tree: codes are stable and unique, messages are the whole text."""

from __future__ import annotations

import inspect
import re

import pytest

from keyless import errors
from keyless.errors import Error

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Error)]


def test_codes_are_unique_snake_case() -> None:
    """A code is never reused for something else."""
    codes = [kind.code for kind in CLASSES]

    assert len(set(codes)) == len(codes)
    assert [code for code in codes if not re.fullmatch(r"[a-z]+(_[a-z]+)*", code)] == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_says_when(kind: type[Error]) -> None:
    """style.md 4.4: each has a docstring of its own and a code of its own."""
    assert kind.__doc__
    assert "code" in vars(kind)


def test_text_and_hint_are_apart() -> None:
    """`str` is the message; the hint is for who prints it."""
    error = errors.ResponseError("what", hint="what to do")

    assert (str(error), error.message, error.hint) == ("what", "what", "what to do")


def test_one_catch_for_everything_the_client_raises() -> None:
    """S6: `except OIDCError` is enough around the client."""
    client = {
        errors.ProviderNotFoundError,
        errors.IdTokenPermissionError,
        errors.MintError,
        errors.MintUnavailableError,
        errors.AudienceError,
        errors.ExchangeRefusedError,
        errors.ExchangeUnavailableError,
        errors.ResponseError,
        errors.OIDCConfigurationError,
    }

    assert [kind for kind in client if not issubclass(kind, errors.OIDCError)] == []
    assert issubclass(errors.OIDCConfigurationError, errors.ConfigurationError)
    assert issubclass(errors.MintUnavailableError, errors.MintError)
