"""The fault: how a call fails on every wire, and the codes that all wires share.

The numbers from -32700 to -32600 are those of JSON-RPC 2.0 section 5.1, which took them from XML-RPC's "Specification
for Fault Code Interoperability"; one table therefore serves both wires. -32099 to -32000 is the range that JSON-RPC leaves
to servers.
"""

from __future__ import annotations

from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
APPLICATION_ERROR: Final = -32000
ACCESS_DENIED: Final = -32001
DEADLINE_EXCEEDED: Final = -32002
OVERLOADED: Final = -32003
RESULT_NOT_ENCODABLE: Final = -32004
AUTHENTICATION_FAILED: Final = -32005

MEANINGS: Final[dict[int, str]] = {
    PARSE_ERROR: "the request is not well-formed",
    INVALID_REQUEST: "the request is well-formed but not a call",
    METHOD_NOT_FOUND: "no plugin exposes a method of that name",
    INVALID_PARAMS: "the arguments do not fit the method's signature",
    INTERNAL_ERROR: "the server failed; its log has the details under the call's id",
    APPLICATION_ERROR: "the method raised an exception",
    ACCESS_DENIED: "the caller may not call this method",
    DEADLINE_EXCEEDED: "the call did not finish within its deadline",
    OVERLOADED: "the server is at a limit; try again later",
    RESULT_NOT_ENCODABLE: "the wire cannot carry the method's result",
    AUTHENTICATION_FAILED: "the caller has not shown who it is: credentials are missing, wrong, expired, or tried too often",
}


class Fault(Exception):  # noqa: N818 - the field's word for it
    """A call that failed, as the caller sees it.

    A plugin raises it to fail with a code and message of its own choosing; every other exception of a plugin becomes
    one with `APPLICATION_ERROR`. Clients raise it when the server answered with a fault.

    Args:
        code: A code of this module, or any other integer of 32 bits for the application's own faults.
        message: One sentence for the caller.
        data: More for programs, of types that a wire can carry. XML-RPC has no place for it and leaves it out.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return f"{self.message} (fault {self.code})"

    def __repr__(self) -> str:
        return f"Fault({self.code}, {self.message!r}{f', {self.data!r}' if self.data is not None else ''})"
