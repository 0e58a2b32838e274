"""The tokens of an XML-RPC document in plain tags, and the references in its texts. What they may mean is not here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from anycore.wire._xmlrpc_scalars import Refusal, shown

# One token is one of
#   a value that holds no other:  a type (or none) and its text, with its end tag
#   the beginning of any other:   a type (or none), no text
#   the end of such a value.
# A <param>, or a <member> with its name, around a value belongs to the token. Repetition is possessive throughout, so
# matching takes linear time. A token is seven items of the list that split() returns, the last one being what follows it.
S: Final = r"[ \t\n]*+"
split: Final = re.compile(
    rf"<(?:(?:member>{S}<name>(?P<name>[^<]*+)</name>{S}<|(?P<param>param)>{S}<)?+"
    rf"value>(?:{S}<(?P<type>array>{S}<data|[A-Za-z0-9.:]++/?+)>)?+"
    rf"(?:(?P<text>[^<]*+)(?(type)</(?P=type)>{S})</value>(?(name){S}</member>|(?(param){S}</param>)))?+"
    rf"|/(?P<end>struct>{S}</|data>{S}</array>{S}</|)value>(?:{S}</(?P<around>member|param)>)?+)"
).split
_ITEMS: Final = 7
_Token = tuple[str | None, str | None, str | None, str | None, str | None, str | None, str]
Tokens = Iterator[_Token]

# XML 1.0 production 66; leading zeros are free, and more digits than these name no character.
_REFERENCE: Final = re.compile(r"&(?:#0*+([0-9]{1,7});|#x0*+([0-9a-fA-F]{1,6});|(lt|gt|amp|quot|apos);)?+")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_TAG: Final = re.compile(r"<[^>]*>?")


def tokens_of(pieces: list[Any], references: bool) -> Tokens:
    """Return the tokens among what `split` returned.

    Args:
        pieces: All of it; the first and the last piece are what stands around the tokens, and are left alone.
        references: Whether there is an ampersand anywhere.

    Raises:
        Refusal: There is more than white space between two tokens, or a reference is to nothing.
    """
    if references:
        pieces[1:-1] = [resolved(piece) if piece and "&" in piece else piece for piece in pieces[1:-1]]
    if "".join(pieces[_ITEMS:-1:_ITEMS]).strip(" \t\n"):
        raise _misplaced(pieces)
    items = iter(pieces)
    next(items)
    return zip(items, items, items, items, items, items, items, strict=True)


def _misplaced(pieces: list[Any]) -> Refusal:
    """Return the refusal of the first text or tag that stands between two tokens."""
    index = next(index for index in range(_ITEMS, len(pieces), _ITEMS) if pieces[index].strip(" \t\n"))
    name, param, kind, text, end, around, junk = pieces[index - _ITEMS + 1 : index + 1]
    if end is None and text is None:
        last = f"<{kind or 'value'}>"
    else:
        last = f"</{around or ('member' if name is not None else param) or 'value'}>"
    tag = _TAG.match(junk.strip(" \t\n"))
    return Refusal(f"{shown(tag[0] if tag else junk)} is out of place after {last[:40]}")


def resolved(text: str) -> str:
    """Return a text with its references resolved, XML 1.0 section 4.1; only the five entities exist."""
    known = text.count("&lt;") + text.count("&gt;") + text.count("&amp;") + text.count("&quot;") + text.count("&apos;")
    if known == text.count("&"):
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
        return text.replace("&amp;", "&")
    return _REFERENCE.sub(_character, text)


def _character(reference: re.Match[str]) -> str:
    decimal, hexadecimal, name = reference.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else 0
    if code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000:
        return chr(code)
    raise Refusal(f"{reference[0]!r} refers to no character")
