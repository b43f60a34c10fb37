"""Header blocks of HTTP/2: read in full, written in their plainest form (RFC 7541). Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

MAX_HEADERS: Final = 128
_MAX_INTEGER: Final = 2**24  # lengths and indices; nothing honest is near this
_DEFAULT_TABLE_SIZE: Final = 4096  # section 6.5.2 of RFC 9113
_ENTRY_OVERHEAD: Final = 32  # section 4.1

# Appendix A: `name` or `name=value`, the first has index 1.
_STATIC_TEXT: Final = (
    ":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|"
    ":status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|"
    "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|"
    "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|"
    "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|"
    "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|"
    "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
_STATIC: Final = tuple((name, value) for name, _, value in (entry.partition("=") for entry in _STATIC_TEXT.split("|")))
# Appendix B. The code is canonical, so the lengths say it all: one letter per symbol, `A` for 5 bits. The last is the
# end of the string, which never stands in one.
_CODE_LENGTHS: Final = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCC"
    "CCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWV"
    "VWWWWWXWWWWWVZ"
)
_END_OF_STRING: Final = 256


class HeaderBlockError(ValueError):
    """What came is not a header block."""


def _codes() -> dict[tuple[int, int], int]:
    lengths = [ord(letter) - ord("A") + 5 for letter in _CODE_LENGTHS]
    found: dict[tuple[int, int], int] = {}
    code = length = 0
    for symbol in sorted(range(len(lengths)), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        found[length, code] = symbol
        code += 1
    return found


def encode_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a block that every reader understands: literals, nothing indexed, nothing compressed (section 6.2.2)."""
    return b"".join(b"\0" + _encode_text(name) + _encode_text(value) for name, value in headers)


def _encode_text(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = len(data) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    length.append(rest)
    return bytes(length) + data


class HeaderDecoder:
    """Read the header blocks of one connection, in order: each may refer to earlier ones."""

    def __init__(self) -> None:
        self._codes = _codes()
        self._dynamic: list[tuple[str, str]] = []  # the newest first
        self._max_size = _DEFAULT_TABLE_SIZE

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        """Return the headers of a block; their bytes are read as Latin-1.

        Raises:
            HeaderBlockError: It cannot be read.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise HeaderBlockError("the header block ends too early") from None

    def _decode(self, block: bytes) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        position = 0
        while position < len(block):
            first = block[position]
            if first & 0x80:  # section 6.1
                index, position = _integer(block, position, 7)
                found.append(self._entry(index))
            elif first & 0x40:  # section 6.2.1
                header, position = self._literal(block, position, 6)
                found.append(header)
                self._dynamic.insert(0, header)
                self._evict()
            elif first & 0x20:  # section 6.3
                size, position = _integer(block, position, 5)
                if size > _DEFAULT_TABLE_SIZE:
                    raise HeaderBlockError("a larger table than was offered")
                self._max_size = size
                self._evict()
            else:  # sections 6.2.2 and 6.2.3
                header, position = self._literal(block, position, 4)
                found.append(header)
            if len(found) > MAX_HEADERS:
                raise HeaderBlockError(f"more than {MAX_HEADERS} headers")
        return found

    def _literal(self, block: bytes, position: int, prefix: int) -> tuple[tuple[str, str], int]:
        index, position = _integer(block, position, prefix)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = self._text(block, position)
        value, position = self._text(block, position)
        return (name, value), position

    def _text(self, block: bytes, position: int) -> tuple[str, int]:
        is_compressed = bool(block[position] & 0x80)
        length, position = _integer(block, position, 7)
        data = block[position : position + length]
        if len(data) < length:
            raise HeaderBlockError("the header block ends too early")
        return (self._expand(data) if is_compressed else data).decode("latin-1"), position + length

    def _expand(self, data: bytes) -> bytes:
        found = bytearray()
        code = length = 0
        for byte in data:
            for shift in range(7, -1, -1):
                code = code << 1 | byte >> shift & 1
                length += 1
                symbol = self._codes.get((length, code))
                if symbol == _END_OF_STRING or length > 30:
                    raise HeaderBlockError("not a Huffman code")
                if symbol is not None:
                    found.append(symbol)
                    code = length = 0
        if length > 7 or code != (1 << length) - 1:  # section 5.2: padding is the beginning of the end's code
            raise HeaderBlockError("not the padding of a Huffman code")
        return bytes(found)

    def _entry(self, index: int) -> tuple[str, str]:
        if 1 <= index <= len(_STATIC):
            return _STATIC[index - 1]
        position = index - len(_STATIC) - 1
        if not 0 <= position < len(self._dynamic):
            raise HeaderBlockError("an index that nothing has")
        return self._dynamic[position]

    def _evict(self) -> None:
        size = 0
        for position, (name, value) in enumerate(self._dynamic):
            size += len(name) + len(value) + _ENTRY_OVERHEAD
            if size > self._max_size:
                del self._dynamic[position:]
                return


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """Read a number whose first bits share a byte with something else (section 5.1)."""
    limit = (1 << prefix) - 1
    value = block[position] & limit
    position += 1
    if value < limit:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if value > _MAX_INTEGER:
            raise HeaderBlockError("a number that is far too large")
        if not byte & 0x80:
            return value, position
