"""Values that only the function which has proven them can make: trust is in the type."""

from __future__ import annotations

from typing import ClassVar, Self


class MadeByProof:
    """Keep a named tuple from being made, filled or changed by anybody else.

    Its subclass names itself first and the tuple second. The maker goes past this with `tuple.__new__`.
    """

    __slots__ = ()
    maker: ClassVar[str]

    def __new__(cls, *_: object, **__: object) -> Self:
        """Refuse: what was not proven is not one of these."""
        raise TypeError(f"only {cls.maker} makes a {cls.__name__}")

    @classmethod
    def _make(cls, *_: object) -> Self:
        return cls()

    def _replace(self, **_: object) -> Self:
        return type(self)()
