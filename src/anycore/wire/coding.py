"""Content codings of HTTP (RFC 9110 section 8.4): gzip, x-gzip and deflate, both ways, and the choice among them.

Which bodies are worth coding, and when, is not decided here. Transfer codings are the HTTP codec's.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from io import BytesIO
from typing import Final

from anycore.wire.errors import LocalProtocolError, RemoteProtocolError

# What is taken in and let out at a time, in bytes. With it goes what a body can cost beyond its limit.
_CHUNK: Final = 32 * 1024
# Codings on top of each other. One is normal, two is a misconfigured proxy, more is an attempt to multiply work.
MAX_CODINGS: Final = 3
# A gzip file may be several, end to end (RFC 1952 section 2.2). Each one costs a copy of all that follows it.
MAX_MEMBERS: Final = 16

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15

_ITEM: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")


def inflate(body: bytes, coding: str, max_size: int) -> bytes:
    """Undo the content codings of a body.

    Args:
        body: The content as received.
        coding: The Content-Encoding field; several codings are undone last to first.
        max_size: Largest result, in bytes, after each coding. What is allocated at most is an eighth more (a buffer that
            grows), and 128 KiB.

    Raises:
        RemoteProtocolError: The content is damaged (400), too large (413) or of an unknown coding (415).
    """
    names = [name for part in coding.lower().split(",") if (name := part.strip(" \t"))]
    if len(names) > MAX_CODINGS:
        raise RemoteProtocolError(f"more than {MAX_CODINGS} content codings on top of each other", 415)
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            body = _inflate(body, _GZIP, max_size)
        elif name == "deflate":
            body = _inflate(body, _ZLIB if _is_zlib(body) else _RAW, max_size)
        elif name != "identity":
            raise RemoteProtocolError(f"the content coding {name[:40]!r} is not known; gzip and deflate are", 415)
    if len(body) > max_size:
        raise _too_large(max_size)
    return body


def deflate(body: bytes, coding: str, level: int = 1) -> bytes:
    """Apply a content coding.

    Args:
        body: The content.
        coding: "gzip", "x-gzip", "deflate" (in the zlib format, as RFC 9110 section 8.4.1.2 has it) or "identity".
        level: 0 to 9, as in zlib; 1 is the fastest that compresses.

    Raises:
        LocalProtocolError: The coding is none of these.
    """
    if coding in ("gzip", "x-gzip"):
        return zlib.compress(body, level, wbits=_GZIP)
    if coding == "deflate":
        return zlib.compress(body, level, wbits=_ZLIB)
    if coding == "identity":
        return body
    raise LocalProtocolError(f"the content coding {coding!r} is not known; use gzip or deflate", "coding")


@lru_cache(maxsize=64)
def choose(accept_encoding: str) -> str | None:
    """Choose the coding of an answer (RFC 9110 section 12.5.3).

    Members of the field that are malformed are passed over, as if they had not been sent.

    Args:
        accept_encoding: The Accept-Encoding field; empty when it is absent.

    Returns:
        "gzip" or "deflate", whichever the peer likes better; None to send the content as it is, because the peer
        prefers that or takes no coding that is known here.
    """
    wanted: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        match = _ITEM.fullmatch(part.strip(" \t"))
        if match is not None:
            name = "gzip" if match[1] == "x-gzip" else match[1]
            wanted[name] = max(wanted.get(name, 0.0), float(match[2] or 1))
    others = wanted.get("*", 0.0)
    best, quality = None, wanted.get("identity", 0.0)
    for name in ("deflate", "gzip"):
        offered = wanted.get(name, others)
        if offered and offered >= quality:
            best, quality = name, offered
    return best


def _is_zlib(body: bytes) -> bool:
    """Tell the zlib format from the raw one, which some peers send for "deflate".

    RFC 1950 section 2.2: method 8, window up to 7, and a check that makes the first two bytes a multiple of 31. A raw
    stream would have to begin with a stored block with padding bits set, which no encoder writes.
    """
    return len(body) > 1 and body[0] & 0x0F == 8 and body[0] >> 4 <= 7 and (body[0] << 8 | body[1]) % 31 == 0


def _inflate(body: bytes, wbits: int, max_size: int) -> bytes:
    # BytesIO hands out its content without a copy, which neither a bytearray nor a list of pieces does.
    result = BytesIO()
    for _ in range(MAX_MEMBERS):
        body = _inflate_member(body, wbits, max_size, result)
        if not body:
            return result.getvalue()
        if wbits != _GZIP:
            break
    raise RemoteProtocolError("bytes follow the end of the compressed content", 400)


def _inflate_member(body: bytes, wbits: int, max_size: int, result: BytesIO) -> bytes:
    """Inflate one compressed stream onto `result` and return the bytes after it."""
    stream = zlib.decompressobj(wbits)
    for start in range(0, len(body), _CHUNK):
        piece = body[start : start + _CHUNK]
        while True:
            try:
                inflated = stream.decompress(piece, _CHUNK)
            except zlib.error as error:
                raise RemoteProtocolError(f"the compressed content is damaged: {error}", 400) from error
            if result.tell() + len(inflated) > max_size:
                raise _too_large(max_size)
            result.write(inflated)
            if stream.eof:
                return stream.unused_data + body[start + _CHUNK :]
            piece = stream.unconsumed_tail
            # Without input left, a full chunk may still have left output inside the stream.
            if not piece and len(inflated) < _CHUNK:
                break
    raise RemoteProtocolError("the compressed content ends too early", 400)


def _too_large(max_size: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"the content is larger than {max_size} bytes once its coding is undone", 413)
