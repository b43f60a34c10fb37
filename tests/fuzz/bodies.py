"""Bodies for the token door: good requests with anything done to them, and anything."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlencode

from keyless.jose.compact import b64url_decode, b64url_encode
from tests.support.running import GRANT, ID_TOKEN

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
KINDS = (
    JSON,
    FORM,
    f"{JSON}; charset=utf-8",
    f"{FORM};charset=UTF-8",
    "text/plain",
    "multipart/form-data; boundary=x",
    "",
)
NAMES = (
    *("grant_type", "subject_token", "subject_token_type", "resource", "audience", "scope", "client_id"),
    *("requested_token_type", "actor_token", "identity_provider_id", "", "ünï", "__proto__", "a" * 300),
)
ODD: tuple[object, ...] = (
    *(None, True, 0, -1, 1e308, 2**63, "", " ", "\x00", "\ud800", "ä", "../x", "acme/model", "x" * 5000, [], {}, [[]]),
    *(
        {"a": {"a": {}}},
        "models/acme/model",
        "acme/model\n",
        "%00",
        "🤗",
        "\u202e",
        "'; DROP TABLE token; --",
        "{{7*7}}",
    ),
)


class Bodies:
    """Make content types and bodies, the same ones for the same seed.

    Args:
        seed: Of the random numbers.
        mint: Makes a good id token.
    """

    def __init__(self, seed: int, mint: Callable[[], str]) -> None:
        self._random = random.Random(seed)
        self._mint = mint
        self._token = mint()

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yield for ever."""
        ways = (
            self._noise,
            self._members,
            self._members,
            self._token_changed,
            self._token_changed,
            self._bytes_changed,
        )
        for number in range(1 << 62):
            if number % 500 == 0:
                self._token = self._mint()
            yield self._random.choice(ways)()

    def _good(self) -> dict[str, object]:
        return {
            "grant_type": GRANT,
            "subject_token_type": ID_TOKEN,
            "subject_token": self._token,
            "resource": "acme/model",
        }

    def _written(self, members: Mapping[str, object], kind: str | None = None) -> tuple[str, bytes]:
        kind = self._random.choice((JSON, FORM)) if kind is None else kind
        if kind.startswith(FORM):
            return kind, urlencode(members, errors="replace").encode("utf-8", "surrogatepass")
        return kind, json.dumps(members, ensure_ascii=self._random.random() < 0.5).encode("utf-8", "surrogatepass")

    def _noise(self) -> tuple[str, bytes]:
        size = self._random.choice((0, 1, 7, 100, 3000, 70_000))
        return self._random.choice(KINDS), self._random.randbytes(size)

    def _members(self) -> tuple[str, bytes]:
        members = self._good()
        for _ in range(self._random.randint(1, 4)):
            name = self._random.choice(NAMES)
            if self._random.random() < 0.3:
                members.pop(name, None)
            else:
                members[name] = self._random.choice(ODD)
        return self._written(members, self._random.choice(KINDS))

    def _token_changed(self) -> tuple[str, bytes]:
        """Change a segment of the id token: its text, or the JSON in it; the key id stays, or its issuer is asked."""
        parts: list[str] = self._token.split(".")
        place = self._random.randrange(3)
        way = self._random.randrange(5)
        if way == 0 and place < 2:
            content = json.loads(b64url_decode(parts[place]))
            name = self._random.choice([name for name in content if name != "kid"])
            content[name] = self._random.choice(ODD)
            parts[place] = b64url_encode(json.dumps(content).encode("utf-8", "surrogatepass"))
        elif way == 1 and place < 2:
            text = b64url_decode(parts[place])
            extra = self._random.choice(
                (b',"x":NaN}', b',"iss":"x"}', b',"x":' + b"[" * 5000, b',"x":1e999}', b"}", b"\xff}")
            )
            parts[place] = b64url_encode(text[:-1] + extra)
        elif way == 2:
            parts.insert(place, self._random.choice(("", "AAAA", "e30", ".", "=")))
        elif way == 3:
            parts[place] = self._random.choice(("", "A", "e30", "=" * 9, "A" * 20_000, "\u0130", parts[place - 1]))
        else:
            at = self._random.randrange(len(parts[2]))
            parts[2] = parts[2][:at] + self._random.choice("AQgw-_+/= \n") + parts[2][at + 1 :]
        return self._written({**self._good(), "subject_token": ".".join(parts)})

    def _bytes_changed(self) -> tuple[str, bytes]:
        kind, body = self._written(self._good())
        changed = bytearray(body)
        # Behind the header of the token, which names its key.
        safe = body.find(b".", body.find(b"eyJ")) if b"eyJ" in body else 0
        for _ in range(self._random.randint(1, 6)):
            at = self._random.randrange(safe, len(changed)) if changed else 0
            match self._random.randrange(3):
                case 0:
                    changed[at : at + 1] = self._random.randbytes(1)
                case 1:
                    del changed[at : at + self._random.randint(1, 40)]
                case _:
                    changed[at:at] = self._random.choice((b'"', b"\\", b"&", b"=", b"%", b"{", b"\x00", b"\xc3", b"}]"))
        return kind, bytes(changed)
