"""Reads small XML documents with the lines of their elements. A DOCTYPE is refused, so there are no entities to expand and no files to fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NoReturn
from xml.parsers import expat

import msgspec

from anycore.access.model import AccessError

_MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_DEPTH: Final = 100


class Element(msgspec.Struct, eq=False):
    """An element.

    Args:
        name: Its name.
        attributes: Its attributes.
        line: The line on which it begins.
        children: The elements in it.
    """

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element]


def read_xml(path: Path) -> Element:
    """Return the root element of a document. Text, comments and instructions are left out.

    Args:
        path: The document.

    Raises:
        AccessError: It cannot be read, is ill-formed (XML 1.0), has a DOCTYPE or an element of a namespace, or is too large or deep.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AccessError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from error
    if len(data) > _MAX_BYTES:
        raise AccessError([f"{path}: it has {len(data)} bytes, of {_MAX_BYTES} that are allowed; use groups"])
    return _Builder(path).build(data)


class _Builder:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._root: Element | None = None
        self._open: list[Element] = []
        self._parser = parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype

    def build(self, data: bytes) -> Element:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            reason = f"column {error.offset}: {expat.ErrorString(error.code)}; correct the XML there"
            raise AccessError([f"{self._path}:{error.lineno}: {reason}"]) from None
        assert self._root is not None  # or expat would have complained
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if ":" in name:
            self._refuse(f"<{name}>: inclusions and templates are not read; write the rules themselves here")
        if len(self._open) >= _MAX_DEPTH:
            self._refuse(f"elements are nested deeper than {_MAX_DEPTH}; write fewer inside of each other")
        element = Element(name, attributes, self._parser.CurrentLineNumber, [])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _doctype(self, *_: Any) -> None:
        self._refuse("a DOCTYPE is refused, for the entities it can define; remove it")

    def _refuse(self, reason: str) -> NoReturn:
        raise AccessError([f"{self._path}:{self._parser.CurrentLineNumber}: {reason}"])
