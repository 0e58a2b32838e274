"""XML-RPC: the verbs. Bytes to calls and results, and back; how it is done lives in the `_xmlrpc_*` modules.

Follows the XML-RPC specification (http://xmlrpc.com/spec.md) with the extensions met in the field: i8 and nil, and, decoded
only, Apache's i1, i2, float, bigdecimal, biginteger and dateTime. The choices where the specification is silent:

* **Decoding is strict in structure, lenient in spelling.** XML must be well-formed; a DOCTYPE is refused. Attributes,
  comments, instructions and name-space prefixes are skipped, and white space between elements and around numbers too.
* **i4** holds 32 bits, **i8** 64, and **int**, of which 32 are allowed, is read with up to 64; ``boolean`` is 0 or 1, and ``true`` and ``false`` are understood.
* **double** is finite. An exponent is understood but never written; a double is written with as many digits as it takes
  to read the same one back.
* **dateTime.iso8601** is read with or without dashes, colons, seconds, fraction and zone (``Z``, ``+hh:mm``, ``+hhmm``,
  ``+hh``), or as a date alone; ``24:00:00`` ends the day. It becomes a `datetime.datetime`, aware if a zone was given.
  It is written as ``19980717T14:08:55``: an aware one is converted to UTC first, fractions are cut off, and a
  `datetime.date` is its midnight.
* **Two members of one name** in a struct are refused: whichever won, some other program would have seen the other.
* **nil** is `None`; **array** is a list, **struct** a dict, **base64** is bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from anycore.wire._xmlrpc_decode import parse, walk_call, walk_response
from anycore.wire._xmlrpc_encode import checked, checked_params, element, printable
from anycore.wire._xmlrpc_flat import flat_call
from anycore.wire._xmlrpc_text import UTF8_NAMES, read_document
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import INVALID_REQUEST, Fault

MAX_DEPTH: Final = 64
"""How deep arrays and structs may nest, unless told otherwise."""

MAX_VALUES: Final = 1_000_000
"""How many values a document may hold, unless told otherwise."""

CONTENT_TYPE: Final = "text/xml"

_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>'
_RESPONSE: Final = f"{_DECLARATION}<methodResponse><params><param>"
_INT_RESPONSE: Final = f"{_RESPONSE}<value><int>%d</int></value></param></params></methodResponse>".encode()
_RESPONSE_END: Final = "</param></params></methodResponse>"


def decode_call(
    body: bytes, *, charset: str | None = None, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES
) -> tuple[str, list[Any]]:
    """Return the method's name and the parameters of a call.

    Args:
        body: The <methodCall> document, in any encoding Python knows.
        charset: The charset parameter of the content type, if any; it wins over the XML declaration (RFC 7303).
        max_depth: How deep arrays and structs may nest, in levels.
        max_values: How many values there may be, containers included.

    Raises:
        RemoteProtocolError: With code PARSE_ERROR when the bytes are no well-formed XML, INVALID_REQUEST when they are
            XML but no call, or exceed a limit. The message says where.
    """
    if charset is None or charset in UTF8_NAMES:
        flat = flat_call(body)
        if flat is not None and len(flat[1]) <= max_values:
            return flat
    return parse(walk_call, read_document(body, charset), max_depth, max_values)


def decode_response(
    body: bytes, *, charset: str | None = None, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES
) -> Any:
    """Return the result that a response carries.

    Args:
        body: The <methodResponse> document.
        charset: As for `decode_call`.
        max_depth: As for `decode_call`.
        max_values: As for `decode_call`.

    Raises:
        Fault: The server answered with a fault.
        RemoteProtocolError: As for `decode_call`.
    """
    is_fault, value = parse(walk_response, read_document(body, charset), max_depth, max_values)
    if not is_fault:
        return value
    members = value if isinstance(value, dict) else {}
    code, message = members.get("faultCode"), members.get("faultString")
    if type(code) is not int or not isinstance(message, str):
        raise RemoteProtocolError("fault: expected a struct of faultCode, an int, and faultString", INVALID_REQUEST)
    raise Fault(code, message)


def encode_call(
    method: str, params: Sequence[Any], *, default: Callable[[Any], Any] | None = None, max_depth: int = MAX_DEPTH
) -> bytes:
    """Return the document of a call.

    Args:
        method: The method's name.
        params: The parameters, of types that XML-RPC knows or ``default`` converts.
        default: Called with each value of another type; returns one of a known type, or raises TypeError.
            It may be called more than once for a value that is refused in the end.
        max_depth: How deep arrays and structs may nest, in levels.

    Raises:
        LocalProtocolError: Something cannot be expressed in XML-RPC; ``path`` is like ``params[0].rooms[2]``.
    """
    if not method:
        raise LocalProtocolError("the method has no name", "method")
    name = checked(method, "method", None, 0)[len("<value><string>") : -len("</string></value>")]
    params_xml = checked_params(params, default, max_depth)
    return (
        f"{_DECLARATION}<methodCall><methodName>{name}</methodName><params>{params_xml}</params></methodCall>"
    ).encode()


def encode_response(value: Any, *, default: Callable[[Any], Any] | None = None, max_depth: int = MAX_DEPTH) -> bytes:
    """Return the document of a response that carries a result.

    Args:
        value: The result.
        default: As for `encode_call`.
        max_depth: As for `encode_call`.

    Raises:
        LocalProtocolError: As for `encode_call`, with a path like ``result.rooms[2]``.
    """
    if type(value) is int and -(2**31) <= value < 2**31:  # the commonest result of all
        return _INT_RESPONSE % value
    return (_RESPONSE + checked(value, "result", default, max_depth) + _RESPONSE_END).encode()


def encode_fault(code: int, message: str) -> bytes:
    """Return the document of a response that is a fault.

    Args:
        code: A number of 32 bits.
        message: What went wrong. A character that XML cannot carry is replaced by U+FFFD, for a fault must always get
            through, and its text may come from anywhere.

    Raises:
        LocalProtocolError: The code is no integer of 32 bits.
    """
    number = checked(code, "faultCode", None, 0)
    if not number.startswith("<value><int>"):
        raise LocalProtocolError(f"{code!r} is no integer of 32 bits", "faultCode")
    text = checked(printable(message), "faultString", None, 0)
    return (
        f"{_DECLARATION}<methodResponse><fault><value><struct><member><name>faultCode</name>{number}</member>"
        f"<member><name>faultString</name>{text}</member></struct></value></fault></methodResponse>"
    ).encode()


def encode_value(
    value: Any, *, path: str = "result", default: Callable[[Any], Any] | None = None, max_depth: int = MAX_DEPTH
) -> str:
    """Return the <value> element of one value, for `wrap_response` or `join_values`.

    Args:
        value: The value.
        path: What the value is called in error messages.
        default: As for `encode_call`.
        max_depth: As for `encode_call`.

    Raises:
        LocalProtocolError: As for `encode_call`.
    """
    return checked(value, path, default, max_depth)


def join_values(values_xml: Sequence[str]) -> str:
    """Return the <value> element of an array, from those of its items: the answer of system.multicall.

    Args:
        values_xml: Results of `encode_value` or of this function.
    """
    return element("array", "<data>" + "".join(values_xml) + "</data>")


def wrap_response(value_xml: str) -> bytes:
    """Return the document of a response whose value is encoded already.

    Args:
        value_xml: A result of `encode_value` or `join_values`.
    """
    return (_RESPONSE + value_xml + _RESPONSE_END).encode()
