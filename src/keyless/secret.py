"""A wrapper that keeps a secret out of logs, tracebacks and string formatting. Pure."""

from __future__ import annotations

from _operator import _compare_digest as compare_digest  # what `hmac` re-exports, without what else that imports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Secret:
    """Hold a secret text that can only be read by asking for it.

    `repr` and formatting show `***`, `str()` refuses, comparison takes constant time, and neither pickling nor
    `copy` is possible. Read the value with `reveal()` at the one place that sends it.

    Args:
        value: The secret text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> NoReturn:
        raise TypeError("a Secret is not text; call .reveal() where the value is really needed")

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")
