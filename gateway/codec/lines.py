"""Lines in and out of a stream of bytes, strict about where a line ends and where a file ends.

A line ends in ``b"\\n"`` (or ``b"\\r\\n"`` where the format says so) and in nothing else: ``str.splitlines`` also
cuts at U+2028, U+0085 and 0x1C, so one line of a careful bank would become five. Every line has its end, the last one
too: without it the file is TRUNCATED.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from gateway.codec.text import lacking
from gateway.core.errors import Code, Malformed

LF = b"\n"
CRLF = b"\r\n"
BLOCK_BYTES = 256 * 1024
CHUNK_BYTES = 64 * 1024
_MARKS = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF16_LE,
    b"\x84\x31\x95\x33",
)  # the last is U+FEFF in GB18030


def blocks(
    stream: BinaryIO, *, line_bytes_max: int, starts: bytes, ending: bytes = LF, block_bytes: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """The stream in blocks of whole lines, each block with its last line's end; joined they are the stream.

    ``starts`` is what every such file begins with (it tells UTF-16 and EBCDIC at once). Memory: about two blocks and
    one line. Raises Malformed: FORMAT (byte order mark, NUL, another line end, another beginning), SIZE (a line of
    more than ``line_bytes_max`` bytes, its end included), TRUNCATED (nothing at all, or a last line without its end).
    """
    rest = b""
    first = True
    lines = 0
    while data := stream.read(block_bytes):
        data = rest + data
        if first and len(data) < len(starts) and starts.startswith(data):
            rest = data
            continue
        if first:
            _beginning(data, starts)
            first = False
        cut = data.rfind(LF) + 1
        block, rest = data[:cut], data[cut:]
        if len(rest) >= line_bytes_max:
            raise _too_long(lines + block.count(LF) + 1, line_bytes_max)
        if b"\0" in data:
            raise Malformed("holds a NUL byte", code=Code.FORMAT, where=f"line {lines + _line(data, data.find(0))}")
        if block:
            _check_lines(block, lines, line_bytes_max, ending)
            lines += block.count(LF)
            yield block
    if rest or not lines:
        what = "the last line has no end" if rest else "the file is empty"
        raise Malformed(what, code=Code.TRUNCATED, where=f"line {lines + 1}")


def _beginning(data: bytes, starts: bytes) -> None:
    if data.startswith(_MARKS):
        raise Malformed("begins with a byte order mark", code=Code.FORMAT, where="line 1")
    if not data.startswith(starts):
        raise Malformed(f"does not begin with {starts.decode('ascii')}", code=Code.FORMAT, where="line 1")


def _check_lines(block: bytes, before: int, line_bytes_max: int, ending: bytes) -> None:
    returns = block.count(b"\r")
    if returns and (ending == LF or returns != block.count(CRLF)):
        wrong = next(at for at, line in enumerate(block.split(LF)) if b"\r" in line.removesuffix(ending[:-1]))
        raise Malformed("holds a carriage return inside", code=Code.FORMAT, where=f"line {before + wrong + 1}")
    if ending == CRLF and returns != block.count(LF):
        wrong = next(at for at, line in enumerate(block.split(LF)) if not line.endswith(b"\r"))
        raise Malformed("does not end in CR LF", code=Code.FORMAT, where=f"line {before + wrong + 1}")
    lines = block.split(LF)
    if max(map(len, lines)) >= line_bytes_max:
        raise _too_long(
            before + next(at for at, line in enumerate(lines) if len(line) >= line_bytes_max) + 1, line_bytes_max
        )


def _too_long(line: int, line_bytes_max: int) -> Malformed:
    return Malformed(f"longer than {line_bytes_max} bytes", code=Code.SIZE, where=f"line {line}")


def _line(data: bytes, position: int) -> int:
    return data.count(LF, 0, position) + 1


def text_lines(block: bytes, charset: str, before: int, ending: bytes = LF) -> list[str]:
    """A block's lines as text, without their ends; ``before`` lines came earlier. Raises Malformed FORMAT."""
    try:
        text = block.decode(charset)
    except UnicodeDecodeError as error:
        where = f"line {before + _line(block, error.start)}"
        raise Malformed(f"holds bytes that are not {charset}", code=Code.FORMAT, where=where) from None
    return text.split(ending.decode("ascii"))[:-1]


def chunks(lines: Iterable[str], charset: str, ending: bytes = LF, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Lines as bytes, each with its end, in chunks of at least ``chunk_bytes`` but the last. Raises Refused CHARSET."""
    end = ending.decode("ascii")
    waiting: list[str] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)  # at most the bytes: every character takes one at least
        if size >= chunk_bytes:
            yield _encoded(waiting, charset, end)
            waiting, size = [], 0
    if waiting:
        yield _encoded(waiting, charset, end)


def _encoded(lines: list[str], charset: str, end: str) -> bytes:
    try:
        return (end.join(lines) + end).encode(charset)
    except UnicodeEncodeError as error:
        raise lacking(error.object[error.start], charset) from None
