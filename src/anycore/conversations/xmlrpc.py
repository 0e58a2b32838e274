"""XML-RPC over HTTP: how calls and outcomes look on that wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.conversations.plain import plain
from anycore.conversations.rpc import HttpWire
from anycore.wire import xmlrpc

if TYPE_CHECKING:
    from anycore.conversations.site import Limits
    from anycore.kernel.call import Outcome
    from anycore.wire.errors import RemoteProtocolError


class XmlRpc(HttpWire):
    """The XML-RPC wire (xmlrpc.com/spec). One call to a request; `system.multicall` is a method like any other.

    Args:
        limits: The site's limits.
    """

    wire = "xmlrpc"
    content_type = "text/xml"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def decode(self, body: bytes, charset: str | None) -> tuple[list[tuple[str, Any, Any]], bool]:
        """Decode a methodCall."""
        limits = self._limits
        name, params = xmlrpc.decode_call(body, charset=charset, max_depth=limits.depth, max_values=limits.values)
        return [(name, params, None)], False

    def encode(self, outcome: Outcome, tag: Any) -> bytes:  # noqa: ARG002 - the signature of all wires
        """Encode a methodResponse."""
        fault = outcome.fault
        if fault is None:
            return xmlrpc.encode_response(outcome.value, default=plain)
        return xmlrpc.encode_fault(fault.code, fault.message)

    def malformed(self, error: RemoteProtocolError) -> bytes:
        """Encode a fault."""
        return xmlrpc.encode_fault(error.code, error.message)
