"""The grammar of XML-RPC documents: from characters to calls and results. Bytes, XML and scalars are not here.

A document in plain tags, as nearly all clients write them, is cut into tokens by one regular expression, and the functions
below walk the tokens. They only accept. When anything is in their way the document is respelled by expat, which refuses
what is ill-formed, and walked again; so what is refused then is well-formed XML, but not XML-RPC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from anycore.wire._xmlrpc_expat import respell
from anycore.wire._xmlrpc_scalars import CONVERTERS, Refusal, shown
from anycore.wire._xmlrpc_tokens import S, Tokens, resolved, split, tokens_of
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import INVALID_REQUEST

_T = TypeVar("_T")

# The one attribute that is common: Apache's clients bind the prefix of their extensions on each document.
_PREFIX: Final = r'(?: xmlns:ex="[^<&"]*+")?+'
_CALL: Final = re.compile(rf"{S}<methodCall{_PREFIX}>{S}<methodName>([^<]*+)</methodName>{S}<params>{S}").fullmatch
_CALL_END: Final = re.compile(rf"{S}</params>{S}</methodCall>{S}").fullmatch
_BARE_CALL: Final = re.compile(
    rf"{S}<methodCall{_PREFIX}>{S}<methodName>([^<]*+)</methodName>{S}(?:<params>{S}</params>{S})?+</methodCall>{S}"
).fullmatch
_RESULT: Final = re.compile(rf"{S}<methodResponse{_PREFIX}>{S}<params>{S}").fullmatch
_RESULT_END: Final = re.compile(rf"{S}</params>{S}</methodResponse>{S}").fullmatch
_FAULT: Final = re.compile(rf"{S}<methodResponse{_PREFIX}>{S}<fault>{S}").fullmatch
_FAULT_END: Final = re.compile(rf"{S}</fault>{S}</methodResponse>{S}").fullmatch


def parse(walk: Callable[[str, int], _T], text: str, max_depth: int, max_values: int) -> _T:
    """Return what ``walk`` makes of a document: directly, or of its plain spelling by expat.

    Args:
        walk: `walk_call` or `walk_response`.
        text: The document, without a declaration.
        max_depth: How deep arrays and structs may nest.
        max_values: How many values there may be.

    Raises:
        RemoteProtocolError: PARSE_ERROR for ill-formed XML, INVALID_REQUEST for XML that is no such document.
    """
    plain = "]" not in text or "]]>" not in text
    if plain and (len(text) < max_values * len("<value/>") or text.count("<value>") <= max_values):
        try:
            return walk(text, max_depth)
        except (Refusal, RecursionError):
            pass  # not refused yet: expat has the last word
    text = respell(text, max_depth, max_values)
    try:
        return walk(text, max_depth)
    except Refusal as refusal:
        where = "".join(reversed(refusal.path)) + ": " if refusal.path else ""
        raise RemoteProtocolError(where + refusal.message, INVALID_REQUEST) from None
    except RecursionError:
        raise RemoteProtocolError("values are nested too deep for this server's stack", INVALID_REQUEST) from None


def walk_call(text: str, max_depth: int) -> tuple[str, list[Any]]:
    """Return the method and the parameters of a <methodCall>, or raise `Refusal`."""
    pieces = split(text)
    if len(pieces) == 1:
        start = _BARE_CALL(text)
        params: list[Any] = []
    else:
        start = _CALL(pieces[0])
        if start is None or _CALL_END(pieces[-1]) is None:
            raise _frame_refusal(pieces, "<methodCall><methodName>...</methodName><params><param>...")
        params = _params(tokens_of(pieces, "&" in text), max_depth)
    if start is None:
        raise _frame_refusal(pieces, "<methodCall><methodName>...</methodName></methodCall>")
    method = start[1]
    if "&" in method:
        method = resolved(method)
    method = method.strip(" \t\n")
    if not method:
        raise Refusal("<methodName> is empty; expected the name of a method")
    return method, params


def walk_response(text: str, max_depth: int) -> tuple[bool, Any]:
    """Return whether a <methodResponse> is a fault, and its one value, or raise `Refusal`."""
    pieces = split(text)
    if _RESULT(pieces[0]) and _RESULT_END(pieces[-1]):
        params = _params(tokens_of(pieces, "&" in text), max_depth)
        if len(params) != 1:
            raise Refusal(f"a response has {len(params)} values; expected 1")
        return False, params[0]
    if _FAULT(pieces[0]) and _FAULT_END(pieces[-1]):
        return True, _fault(tokens_of(pieces, "&" in text), max_depth)
    raise _frame_refusal(pieces, "<methodResponse> with one <params> or <fault>")


def _params(tokens: Tokens, depth: int) -> list[Any]:
    values: list[Any] = []
    try:
        for _, param, kind, text, _, _, _ in tokens:
            if param is None:
                raise Refusal("a value stands outside of <param>")
            if text is not None:
                convert = CONVERTERS[kind]
                values.append(text if convert is None else convert(text))
            else:
                value, closed = _nested(kind, tokens, depth)
                if closed != "param":
                    raise Refusal("expected </param> after the value")
                values.append(value)
    except (Refusal, KeyError) as error:
        raise _placed(f"params[{len(values)}]", error) from None
    return values


def _array(tokens: Tokens, depth: int) -> tuple[list[Any], str | None]:
    values: list[Any] = []
    try:
        for name, param, kind, text, end, around, _ in tokens:
            if end is not None:
                if end[:1] == "d":
                    return values, around
                raise Refusal("expected </data></array></value> or a value")
            if name is not None or param is not None:
                raise Refusal("a <member> or <param> stands in an array; expected a value")
            if text is not None:
                convert = CONVERTERS[kind]
                values.append(text if convert is None else convert(text))
            else:
                value, closed = _nested(kind, tokens, depth)
                if closed is not None:
                    raise Refusal(f"</{closed}> closes nothing")
                values.append(value)
    except (Refusal, KeyError) as error:
        raise _placed(f"[{len(values)}]", error) from None
    raise Refusal("an array has no end")


def _struct(tokens: Tokens, depth: int) -> tuple[dict[str, Any], str | None]:
    members: dict[str, Any] = {}
    name: str | None = None
    try:
        for name, _, kind, text, end, around, _ in tokens:
            if name is None or name in members:
                if end and end[:1] == "s":
                    return members, around
                raise Refusal("expected a <member>" if name is None else "a second member of this name")
            if text is not None:
                convert = CONVERTERS[kind]
                members[name] = text if convert is None else convert(text)
            else:
                value, closed = _nested(kind, tokens, depth)
                if closed != "member":
                    raise Refusal("expected </member> after the value")
                members[name] = value
    except (Refusal, KeyError) as error:
        raise _placed(
            "" if name is None else f".{name[:40]}" if name.isidentifier() else f"[{shown(name)}]", error
        ) from None
    raise Refusal("a struct has no end")


def _nested(kind: str | None, tokens: Tokens, depth: int) -> tuple[Any, str | None]:
    if kind is None:
        raise Refusal("<value> holds neither text alone nor one element of a type")
    if kind == "struct" or kind[:6] == "array>":
        if depth <= 0:
            raise Refusal("values are nested too deep")
        return _struct(tokens, depth - 1) if kind == "struct" else _array(tokens, depth - 1)
    if kind in {"nil/", "ex:nil/", "string/"}:
        end = next(tokens, None)
        if end is not None and end[4] == "":
            return ("" if kind == "string/" else None), end[5]
    if kind == "array":
        raise Refusal("<array> holds no <data>")
    raise Refusal(f"<{kind[:40]}> holds elements, or more follows it; expected text and </value>")


def _fault(tokens: Tokens, depth: int) -> Any:
    try:
        values, _ = _array(_ended(tokens), depth)
    except Refusal as refusal:
        refusal.path[-1] = "fault"
        raise
    if len(values) != 1:
        raise Refusal(f"a fault has {len(values)} values; expected 1")
    return values[0]


def _ended(tokens: Tokens) -> Tokens:
    """Yield the tokens, then the end of an array, so that a lone value is read as an array of one."""
    yield from tokens
    yield None, None, None, None, "data", None, ""


def _placed(place: str, error: Refusal | KeyError) -> Refusal:
    refusal = error if isinstance(error, Refusal) else Refusal(f"<{str(error.args[0])[:40]}> is no type of XML-RPC")
    refusal.path.append(place)
    return refusal


def _frame_refusal(pieces: list[Any], expected: str) -> Refusal:
    start = "".join(pieces[0].split())
    end = f" and ends in {shown(''.join(pieces[-1].split()))}" if len(pieces) > 1 else ""
    return Refusal(f"the document begins with {shown(start)}{end}; expected {expected}")
