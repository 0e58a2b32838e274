"""The long way for documents with attributes, comments, CDATA, prefixes and the like: expat respells them plainly.

The result is the same document in the few forms that `_xmlrpc_decode` reads, so there is one grammar for both ways.
What is ill-formed is refused here, for every document: the short way only ever accepts.
"""

from __future__ import annotations

from typing import Any, Final
from xml.parsers import expat

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import INVALID_REQUEST, PARSE_ERROR

_ELEMENTS_PER_LEVEL: Final = 3  # value, array, data
_ELEMENTS_AROUND: Final = 8
_VALUE: Final = "value"


class _Respeller:
    """Writes what expat reports; refuses a DOCTYPE, and more elements than the limits allow."""

    def __init__(self, max_depth: int, max_values: int) -> None:
        self.pieces: list[str] = []
        self._write = self.pieces.append
        self._depth = max_depth * _ELEMENTS_PER_LEVEL + _ELEMENTS_AROUND
        self._max_depth = max_depth
        self._max_values = self._values = max_values

    def start(self, name: str, _attributes: list[str]) -> None:
        name = name[name.rfind(":") + 1 :]
        self._write(f"<{name}>")
        self._depth -= 1
        if self._depth < 0:
            raise RemoteProtocolError(f"values are nested deeper than {self._max_depth} levels", INVALID_REQUEST)
        if name == _VALUE:
            self._values -= 1
            if self._values < 0:
                raise RemoteProtocolError(f"the document has more than {self._max_values} values", INVALID_REQUEST)

    def end(self, name: str) -> None:
        self._depth += 1
        self._write(f"</{name[name.rfind(':') + 1 :]}>")

    def data(self, text: str) -> None:
        if "&" in text or "<" in text or ">" in text or "\r" in text:
            text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
        self._write(text)

    def doctype(self, *_: Any) -> None:
        raise RemoteProtocolError("a DOCTYPE is refused, for the entities it can define", PARSE_ERROR)


def respell(text: str, max_depth: int, max_values: int) -> str:
    """Return the document in plain tags and text: no attributes, prefixes, comments, instructions or CDATA sections.

    Args:
        text: The document, without a declaration.
        max_depth: How deep arrays and structs may nest.
        max_values: How many values there may be.

    Raises:
        RemoteProtocolError: PARSE_ERROR where the document is ill-formed (XML 1.0) or has a DOCTYPE; INVALID_REQUEST
            where it exceeds a limit.
    """
    respeller = _Respeller(max_depth, max_values)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = respeller.start
    parser.EndElementHandler = respeller.end
    parser.CharacterDataHandler = respeller.data
    parser.StartDoctypeDeclHandler = respeller.doctype
    try:
        # With a declaration in front, a second one in the text is the error it should be.
        parser.Parse("<?xml version='1.0'?>" + text, True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset}"
        raise RemoteProtocolError(f"{where}: {expat.ErrorString(error.code)}", PARSE_ERROR) from None
    return "".join(respeller.pieces)
