"""JSON-RPC 2.0 and the older 1.0 style: requests, responses and batches. No call is made and no text sent here.

Sources: the JSON-RPC 2.0 specification (2013-01-04), sections 4 to 6, and the JSON-RPC 1.0 one. A message without the
member "jsonrpc" is of the 1.0 style: its answer always has result, error and id, and an id of null makes a
notification. Values follow `anycore.wire.jsonvalue`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from anycore.wire import jsonvalue
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import APPLICATION_ERROR, INVALID_REQUEST, Fault
from anycore.wire.jsonvalue import MAX_VALUES, check_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.wire.jsonvalue import Default

Id: TypeAlias = str | int | Decimal | None
Version: TypeAlias = Literal["1.0", "2.0"]

MAX_BATCH: Final = 1000
_SMALL: Final = 1 << 62  # such integers print fast, and never raise for their length


class Request(msgspec.Struct, frozen=True):
    """One call (section 4).

    Args:
        id: What the answer must repeat; a number with a fraction or exponent is a Decimal, so it is repeated exactly.
        method: The name of the method.
        params: By position or by name.
        version: The style of the request, and so of its answer.
        notification: Nobody waits for an answer and none may be sent, not even for a fault.
    """

    id: Id
    method: str
    params: list[Any] | dict[str, Any]
    version: Version = "2.0"
    notification: bool = False


class Invalid(msgspec.Struct, frozen=True):
    """Something sent as a call that is none; answer it with `encode_error(invalid.id, invalid.fault, invalid.version)`.

    Args:
        id: The id of the request, or None when it could not be detected.
        fault: What is wrong, with the code INVALID_REQUEST.
        version: The style of the answer.
    """

    id: Id
    fault: Fault
    version: Version = "2.0"


class Response(msgspec.Struct, frozen=True):
    """One answer (section 5): `fault` is None when the call succeeded, and then `value` is its result."""

    id: Id
    value: Any
    fault: Fault | None


class _Call(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A request as almost everybody sends it. Whatever else comes is examined again member by member.

    Unknown members are forbidden because msgspec skips them without a look at their strings.
    """

    method: str
    params: list[Any] | dict[str, Any] = msgspec.field(default_factory=list)
    id: str | int | UnsetType | None = UNSET
    jsonrpc: Literal["2.0"] | UnsetType = UNSET


class _OnlyId(msgspec.Struct, gc=False):
    id: msgspec.Raw


_decode_calls = msgspec.json.Decoder(_Call | list[_Call]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_id = msgspec.json.Decoder(_OnlyId).decode


def decode(
    body: bytes, *, max_batch: int = MAX_BATCH, max_values: int = MAX_VALUES
) -> tuple[bool, list[Request | Invalid]]:
    """Decode what a client sent.

    Args:
        body: One JSON text, UTF-8.
        max_batch: The most calls in one batch.
        max_values: The most JSON values.

    Returns:
        Whether the answer must be an array (section 6), and the calls in their order. An empty batch, or one that is
        too long, is a single `Invalid` to be answered by a single object.

    Raises:
        RemoteProtocolError: The text cannot be read; answer with its code and the id None.
    """
    check_values(body, max_values)
    try:
        calls = _decode_calls(body)
    except (ValueError, RecursionError):
        return _examine_all(jsonvalue.decode(body, max_values=max_values), body, max_batch)
    if type(calls) is _Call:
        return False, [_request(calls)]
    if 0 < len(calls) <= max_batch:
        return True, [_request(call) for call in calls]
    return _examine_all(calls, body, max_batch)


def _request(call: _Call) -> Request | Invalid:
    ident = call.id
    if call.jsonrpc is UNSET:
        return _request_1_0(ident, call.method, call.params)
    if ident is UNSET:
        return Request(None, call.method, call.params, "2.0", True)
    return Request(ident, call.method, call.params)


def _request_1_0(ident: Id | UnsetType, method: str, params: Any) -> Request | Invalid:
    if ident is UNSET:
        cure = 'add "jsonrpc": "2.0", or for the 1.0 style an "id" (null makes a notification)'
        return _invalid(f'the request has neither "jsonrpc" nor "id"; {cure}', None, "1.0")
    return Request(ident, method, params, "1.0", ident is None)


def _examine_all(message: Any, body: bytes, max_batch: int) -> tuple[bool, list[Request | Invalid]]:
    if not isinstance(message, list):
        return False, [_examine(message, body)]
    if not message:
        return False, [_invalid("the batch is empty; send at least one call")]
    if len(message) > max_batch:
        return False, [_invalid(f"the batch has {len(message)} calls, the limit is {max_batch}; send several batches")]
    raws = _decode_raws(body.removeprefix(b"\xef\xbb\xbf"))
    return True, [_examine(item, raw) for item, raw in zip(message, raws, strict=True)]


def _examine(item: Any, raw: bytes | msgspec.Raw) -> Request | Invalid:
    if not isinstance(item, dict):
        return _invalid(f"a call must be a JSON object, not {_kind(item)}")
    version: Version = "1.0" if "jsonrpc" not in item and "method" in item else "2.0"
    ident = item.get("id", UNSET)
    if isinstance(ident, float):
        ident = _exact_number(raw)
    if not isinstance(ident, (str, int, Decimal, UnsetType, type(None))) or isinstance(ident, bool):
        return _invalid(f'"id" must be text, a number or null, not {_kind(ident)}', None, version)
    known = None if ident is UNSET else ident
    wrong = _what_is_wrong(item)
    if wrong:
        return _invalid(wrong, known, version)
    params = item.get("params", [])
    if version == "1.0":
        return _request_1_0(ident, item["method"], params)
    return Request(known, item["method"], params, "2.0", ident is UNSET)


def _what_is_wrong(item: dict[str, Any]) -> str:
    if item.get("jsonrpc", "2.0") != "2.0":
        return '"jsonrpc" must be "2.0"; leave it out for the 1.0 style'
    if "method" not in item:
        return 'the "method" is missing; name the method to call'
    if not isinstance(item["method"], str):
        return f'"method" must be the name of a method as text, not {_kind(item["method"])}'
    if not isinstance(item.get("params", []), (list, dict)):
        kind = _kind(item["params"])
        return f'"params" must be an array or an object, not {kind}; leave it out when there are none'
    return ""


def _exact_number(raw: bytes | msgspec.Raw) -> Decimal | bool:
    """The number that is the id of the request `raw`; False when it has an exponent beyond all reason."""
    number = bytes(_decode_id(bytes(raw).removeprefix(b"\xef\xbb\xbf")).id)
    try:
        return Decimal(number.decode("ascii"))
    except InvalidOperation:
        return False


def _invalid(message: str, ident: Id = None, version: Version = "2.0") -> Invalid:
    return Invalid(ident, Fault(INVALID_REQUEST, message), version)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    return "text" if isinstance(value, str) else "a number"


def encode_result(ident: Id, value: Any, version: Version = "2.0", *, default: Default | None = None) -> bytes:
    """Encode the answer to a call that succeeded.

    Args:
        ident: The id of the request.
        value: The result; see `anycore.wire.jsonvalue.encode`.
        version: The style of the request.
        default: Converts values of types that JSON does not know.

    Raises:
        LocalProtocolError: JSON cannot carry the value; its path starts with ``result``.
    """
    result = jsonvalue.encode(value, default=default)
    if version == "2.0":
        if type(ident) is int and 0 <= ident < _SMALL:
            return b'{"jsonrpc":"2.0","result":%b,"id":%d}' % (result, ident)
        return b'{"jsonrpc":"2.0","result":%b,"id":%b}' % (result, _encode_id(ident))
    return b'{"result":%b,"error":null,"id":%b}' % (result, _encode_id(ident))


def encode_error(ident: Id, fault: Fault, version: Version = "2.0", *, default: Default | None = None) -> bytes:
    """Encode the answer to a call that failed (section 5.1).

    A message is always sent: the unpaired surrogates it may have from a file's name are written as escapes.

    Args:
        ident: The id of the request, None when it could not be detected.
        fault: The code, the message, and the data unless that is None.
        version: The style of the request.
        default: Converts values of types that JSON does not know.

    Raises:
        LocalProtocolError: JSON cannot carry the fault's data; its path starts with ``error.data``.
    """
    message = fault.message.encode("utf-8", "backslashreplace").decode()
    error = b'{"code":%b,"message":%b' % (jsonvalue.encode(fault.code, path="error.code"), jsonvalue.encode(message))
    if fault.data is not None:
        error += b',"data":' + jsonvalue.encode(fault.data, path="error.data", default=default)
    if version == "2.0":
        return b'{"jsonrpc":"2.0","error":%b},"id":%b}' % (error, _encode_id(ident))
    return b'{"result":null,"error":%b},"id":%b}' % (error, _encode_id(ident))


def encode_batch(messages: Sequence[bytes]) -> bytes:
    """Put requests, or answers, that are already encoded into one batch (section 6).

    An empty batch of answers must not be sent: the server answers a batch of notifications with nothing at all.
    """
    return b"[" + b",".join(messages) + b"]"


def encode_request(
    ident: Id,
    method: str,
    params: Sequence[Any] | dict[str, Any] = (),
    version: Version = "2.0",
    *,
    default: Default | None = None,
) -> bytes:
    """Encode a call.

    Args:
        ident: What the answer will repeat. In the 1.0 style None makes a notification.
        method: The name of the method.
        params: By position (list or tuple) or by name (dict).
        version: The style.
        default: Converts values of types that JSON does not know.

    Raises:
        LocalProtocolError: JSON cannot carry part of it; its path starts with ``params`` or ``method``.
    """
    name = jsonvalue.encode(method, path="method")
    values = jsonvalue.encode(params, path="params", default=default)
    style = b'"jsonrpc":"2.0",' if version == "2.0" else b""
    return b'{%b"method":%b,"params":%b,"id":%b}' % (style, name, values, _encode_id(ident))


def encode_notification(
    method: str,
    params: Sequence[Any] | dict[str, Any] = (),
    version: Version = "2.0",
    *,
    default: Default | None = None,
) -> bytes:
    """Encode a call that wants no answer (section 4.1); the arguments are those of `encode_request`.

    Raises:
        LocalProtocolError: JSON cannot carry part of it.
    """
    if version == "1.0":
        return encode_request(None, method, params, "1.0", default=default)
    name = jsonvalue.encode(method, path="method")
    values = jsonvalue.encode(params, path="params", default=default)
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (name, values)


def _encode_id(ident: Id) -> bytes:
    if type(ident) is Decimal and ident.is_finite():
        return str(ident).encode()
    return jsonvalue.encode(ident, path="id")


def decode_response(body: bytes, *, max_values: int = MAX_VALUES) -> tuple[bool, list[Response]]:
    """Decode what a server answered.

    Liberal where servers differ and the meaning is clear: both members may be present when one of them is null, and in
    the 1.0 style an error of any type counts when it is not null, false, zero or empty.

    Args:
        body: One JSON text, UTF-8.
        max_values: The most JSON values.

    Returns:
        Whether it was a batch, and the answers in the order of the server, which need not be that of the calls.

    Raises:
        RemoteProtocolError: It is not JSON, or no response.
    """
    message = jsonvalue.decode(body, max_values=max_values)
    if isinstance(message, list):
        return True, [_response(item) for item in message]
    return False, [_response(message)]


def _response(item: Any) -> Response:
    if not isinstance(item, dict) or not ("result" in item or "error" in item):
        raise RemoteProtocolError('a response must be a JSON object with "result" or "error"', INVALID_REQUEST)
    ident = item.get("id")
    if not isinstance(ident, (str, int, float, type(None))) or isinstance(ident, bool):
        raise RemoteProtocolError(f'"id" must be text, a number or null, not {_kind(ident)}', INVALID_REQUEST)
    error = item.get("error")
    if error is None or (not error and "jsonrpc" not in item):
        if "result" not in item:
            raise RemoteProtocolError('the response has neither a "result" nor an error', INVALID_REQUEST)
        return Response(ident, item["result"], None)  # type: ignore[arg-type]  # a float is compared, never sent
    return Response(ident, None, _fault(error))  # type: ignore[arg-type]


def _fault(error: Any) -> Fault:
    """The fault of a server that keeps the form of section 5.1; of any other, a fault that shows what it sent."""
    if isinstance(error, str):
        return Fault(APPLICATION_ERROR, error)
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    if type(code) is int and isinstance(message, str):
        return Fault(code, message, error.get("data"))
    text = message if isinstance(message, str) else "the server failed without a message"
    return Fault(code if type(code) is int else APPLICATION_ERROR, text, error)
