from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.hub.body import MAX_LINE_BYTES, CommitLine, CommitLines
from keyless.hub.errors import HubError
from keyless.hub.store.blobs import StagedBlob


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("incoming")


def parse(incoming: Path, body: bytes, chunk_bytes: int) -> list[tuple[str, dict[str, object], bytes | None]]:
    """Return key, value and content of each line, and leave no temporary file."""
    reader = CommitLines(lambda: StagedBlob(incoming))
    try:
        lines: list[CommitLine] = []
        for at in range(0, len(body), chunk_bytes):
            lines += reader.feed(body[at : at + chunk_bytes])
        lines += reader.finish()
        return [(line.key, line.value, _content(line)) for line in lines]
    finally:
        reader.discard()
        assert list(incoming.iterdir()) == []


def _content(line: CommitLine) -> bytes | None:
    if line.content is None:
        return None
    line.content.finish()
    return line.content.path.read_bytes()


def file_line(path: str, content: bytes) -> dict[str, object]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"content": encoded, "path": path, "encoding": "base64"}}


@given(
    files=st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=40)), max_size=4),
    chunk_bytes=st.integers(1, 50),
    spaced=st.booleans(),
)
def test_stream_gives_what_was_sent_wherever_it_is_cut(
    incoming: Path, files: list[tuple[str, bytes]], chunk_bytes: int, spaced: bool
) -> None:
    """D25: the network cuts anywhere: in a key, in an escape, in the middle of base64."""
    header = {"key": "header", "value": {"summary": 'a "content": "b" \\"content\\":\\"c', "description": ""}}
    lines = [header, *(file_line(path, content) for path, content in files)]
    separators = (", ", ": ") if spaced else (",", ":")
    body = b"\n".join(json.dumps(line, separators=separators).encode() for line in lines)

    parsed = parse(incoming, body, chunk_bytes)

    assert parsed[0] == ("header", header["value"], None)
    assert [(path, content) for path, content in files] == [
        (value["path"], content) for _, value, content in parsed[1:]
    ]


_BAD = {
    "not-json": b"nonsense\n",
    "array": b"[]\n",
    "no-value": b'{"key": "header"}\n',
    "third-member": b'{"key": "header", "value": {}, "x": 1}\n',
    "value-text": b'{"key": "header", "value": "x"}\n',
    "duplicate-key": b'{"key": "a", "key": "b", "value": {}}\n',
    "not-base64": b'{"key":"file","value":{"content":"a$b=","path":"a"}}\n',
    "base64-too-short": b'{"key":"file","value":{"content":"QUJ","path":"a"}}\n',
    "inner-padding": b'{"key":"file","value":{"content":"QQ==QQ==","path":"a"}}\n',
    "escaped-content": b'{"key":"file","value":{"content":"QU\\u004aD","path":"a"}}\n',
    "newline-in-content": b'{"key":"file","value":{"content":"QUJD\nQUJD","path":"a"}}\n',
    "two-contents": b'{"key":"file","value":{"content":"QUJD","path":"a","x":{"content":"QUJD"}}}\n',
    "content-elsewhere": b'{"key":"file","value":{"path":"a","x":{"content":"QUJD"}}}\n',
    "unfinished-content": b'{"key":"file","value":{"content":"QUJD',
    "unfinished-line": b'{"key":"file","value":{"path":',
    "endless-line": b'{"key":"header","value":{"summary":"' + b"x" * MAX_LINE_BYTES + b'"}}\n',
    "endless-prefix": b" " * (MAX_LINE_BYTES + 1) + b'{"key":"file","value":{"content":"QUJD","path":"a"}}\n',
    "deep": b"[" * 20_000 + b"\n",
    "latin-1": b'{"key":"header","value":{"summary":"\xff"}}\n',
}


@pytest.mark.parametrize("chunk_bytes", [7, 100_000])
@pytest.mark.parametrize("body", _BAD.values(), ids=_BAD.keys())
def test_other_format_is_refused(incoming: Path, body: bytes, chunk_bytes: int) -> None:
    """T11, T09: a 400, and no temporary file stays behind."""
    with pytest.raises(HubError) as caught:
        parse(incoming, body, max(chunk_bytes, 4096) if len(body) > 100_000 else chunk_bytes)
    assert caught.value.status == 400


def test_padding_at_the_end_of_a_chunk_ends_the_content(incoming: Path) -> None:
    """T12: padding in the middle is refused also where a chunk happens to end there."""
    body = b'{"key":"file","value":{"content":"QQ==QQ==","path":"a"}}\n'
    cut = body.index(b"==") + 2
    reader = CommitLines(lambda: StagedBlob(incoming))
    reader.feed(body[:cut])

    with pytest.raises(HubError):
        reader.feed(body[cut:])
    reader.discard()


def test_memory_stays_small_for_a_large_file(incoming: Path) -> None:
    """D25: a line as long as its file is never held as a whole."""
    import tracemalloc

    reader = CommitLines(lambda: StagedBlob(incoming))
    chunk = base64.b64encode(b"x" * 3 * 65536)
    tracemalloc.start()
    reader.feed(b'{"key":"file","value":{"content":"')
    for _ in range(64):
        reader.feed(chunk)
    (line,) = reader.feed(b'","path":"a","encoding":"base64"}}\n')
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert line.content is not None
    assert line.content.finish().size == 64 * 3 * 65536
    reader.discard()
    assert peak < 4_000_000
