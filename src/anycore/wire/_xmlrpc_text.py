"""From the bytes of a body to the characters of one XML document: encodings, byte order marks, legal characters.

Nothing here knows XML-RPC, and nothing here parses XML beyond its declaration.
"""

from __future__ import annotations

import encodings
import re
from encodings.aliases import aliases
from typing import Final

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR

# Codecs that Python has without giving them an alias.
_UNALIASED: Final = (
    "cp1006",
    "cp720",
    "cp737",
    "cp856",
    "cp874",
    "cp875",
    "koi8_t",
    "koi8_u",
    "mac_arabic",
    "mac_croatian",
    "mac_farsi",
    "mac_romanian",
    "utf_8_sig",
)

# Only names known beforehand are looked up: Python remembers every name it failed to find, so a peer could fill the
# memory with invented ones. Those that turn bytes into bytes, str into str, or escapes into characters are no encodings.
_NO_ENCODINGS: Final = frozenset(
    (
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
        "mbcs",
        "tactis",
        "unicode_escape",
        "raw_unicode_escape",
        "idna",
        "punycode",
        "undefined",
    )
)
_ENCODINGS: Final = frozenset(name for pair in aliases.items() if pair[1] not in _NO_ENCODINGS for name in pair).union(
    _UNALIASED
)

_BOMS: Final = (  # XML 1.0 appendix F.1; the longer ones first
    (b"\xff\xfe\x00\x00", "utf_32_le"),
    (b"\x00\x00\xfe\xff", "utf_32_be"),
    (b"\xef\xbb\xbf", "utf_8"),
    (b"\xff\xfe", "utf_16_le"),
    (b"\xfe\xff", "utf_16_be"),
)
_WIDE: Final = (
    (b"<\x00\x00\x00", "utf_32_le"),
    (b"\x00\x00\x00<", "utf_32_be"),
    (b"<\x00", "utf_16_le"),
    (b"\x00<", "utf_16_be"),
)
_EBCDIC: Final = b"\x4c\x6f\xa7\x94"  # "<?xm"

_S: Final = "[ \t\r\n]"
_DECLARATION: Final = re.compile(  # XML 1.0 productions 23 to 32 and 80, 81
    rf"<\?xml{_S}+version{_S}*={_S}*(?:'1\.[0-9]+'|\"1\.[0-9]+\")"
    rf"(?:{_S}+encoding{_S}*={_S}*(?P<quote>['\"])(?P<encoding>[A-Za-z][A-Za-z0-9._-]*)(?P=quote))?"
    rf"(?:{_S}+standalone{_S}*={_S}*(?:'(?:yes|no)'|\"(?:yes|no)\"))?{_S}*\?>"
)
_LONGEST_DECLARATION: Final = 400

# What nearly every client sends; the rest takes the long way through `_DECLARATION`.
_UTF8_DECLARATIONS: Final = frozenset(
    f"<?xml version={q}1.0{q}{encoding}{space}".encode()
    for q in "'\""
    for encoding in ("", f" encoding={q}utf-8{q}", f" encoding={q}UTF-8{q}")
    for space in ("", " ")
)
UTF8_NAMES: Final = frozenset((None, "utf-8", "UTF-8", "utf8"))

# XML 1.0 production 2, as far as single bytes of UTF-8 can tell; a carriage return is normalised away first.
_LEGAL: Final = b"\t\n" + bytes(range(0x20, 0x100))


def read_document(body: bytes, charset: str | None) -> str:
    """Return the characters of an XML document, line ends normalised, its declaration taken off.

    The encoding is that of the byte order mark, else ``charset``, else that of the declaration, else UTF-8, in the order
    of RFC 7303 section 3.

    Args:
        body: The document.
        charset: The ``charset`` parameter of the HTTP content type, if there was one.

    Raises:
        RemoteProtocolError: PARSE_ERROR for an unknown encoding, bytes that are not of it, a malformed declaration, or
            a character that XML 1.0 does not allow.
    """
    if body[:6] == b"<?xml ":
        declaration, _, rest = body.partition(b"?>")
        plain = declaration in _UTF8_DECLARATIONS
    else:
        rest = body
        plain = body[:1] == b"<" and body[1:2] > b" "
    if plain and charset in UTF8_NAMES:
        return _characters(rest)
    text = _undeclared(_decoded(body, charset))
    try:
        return _characters(text.encode())
    except UnicodeEncodeError as error:  # UTF-7 can spell half a surrogate pair
        raise _refusal(f"character U+{ord(text[error.start]):04X} is not allowed in XML") from None


def _characters(body: bytes) -> str:
    odd = body.translate(None, _LEGAL)
    if odd:
        illegal = odd.strip(b"\r")
        if illegal:
            raise _refusal(f"character U+{illegal[0]:04X} is not allowed in XML; binary data goes as base64")
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # XML 1.0 section 2.11
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _refusal(f"byte {error.start} of the document is not UTF-8, and no other encoding was declared") from None
    if not text.isascii() and ("\ufffe" in text or "\uffff" in text):
        raise _refusal("characters U+FFFE and U+FFFF are not allowed in XML")
    return text


def _decoded(body: bytes, charset: str | None) -> str:
    encoding, body = _encoding(body, charset)
    name = encodings.normalize_encoding(encoding[:40]).lower().replace(".", "_")
    if name not in _ENCODINGS:
        raise _refusal(f"encoding {encoding[:40]!r} is unknown; UTF-8 always works")
    try:
        return body.decode(name)
    except (UnicodeError, LookupError) as error:
        raise _refusal(f"the document is not {encoding}: {str(error)[:120]}") from None


def _encoding(body: bytes, charset: str | None) -> tuple[str, bytes]:
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return encoding, body[len(mark) :]
    wide = next((encoding for start, encoding in _WIDE if body.startswith(start)), None)
    if charset and not (wide and charset.lower() in ("utf-16", "utf-32")):  # those two leave the byte order open
        return charset.strip("\"' "), body
    if wide:
        return wide, body
    ebcdic = body.startswith(_EBCDIC)
    start = body[:_LONGEST_DECLARATION].decode("cp037" if ebcdic else "latin-1")
    declared = _DECLARATION.match(start)
    return (declared and declared["encoding"]) or ("cp037" if ebcdic else "utf_8"), body


def _undeclared(text: str) -> str:
    if text[:5] != "<?xml" or text[5:6] not in {" ", "\t", "\r", "\n"}:
        return text
    declared = _DECLARATION.match(text[:_LONGEST_DECLARATION])
    if declared is None:
        raise _refusal("the XML declaration is malformed; expected <?xml version='1.0' encoding='utf-8'?>")
    return text[declared.end() :]


def _refusal(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, PARSE_ERROR)
