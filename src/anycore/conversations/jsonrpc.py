"""JSON-RPC over HTTP: how calls and outcomes look on that wire, version 2.0 and the 1.0 style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.conversations.plain import plain
from anycore.conversations.rpc import HttpWire
from anycore.wire import jsonrpc
from anycore.wire.faults import Fault

if TYPE_CHECKING:
    from anycore.conversations.site import Limits
    from anycore.kernel.call import Outcome
    from anycore.wire.errors import RemoteProtocolError


class JsonRpc(HttpWire):
    """The JSON-RPC wire (jsonrpc.org/specification).

    Args:
        limits: The site's limits.
    """

    wire = "jsonrpc"
    content_type = "application/json"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def decode(self, body: bytes, charset: str | None) -> tuple[list[tuple[str, Any, Any]], bool]:  # noqa: ARG002 - JSON is UTF-8
        """Decode a request or a batch."""
        batch, entries = jsonrpc.decode(body, max_batch=self._limits.batch, max_values=self._limits.values)
        return [
            (entry.method, entry.params, entry) if isinstance(entry, jsonrpc.Request) else ("", entry.fault, entry)
            for entry in entries
        ], batch

    def encode(self, outcome: Outcome, tag: Any) -> bytes | None:
        """Encode a response; None for a notification."""
        if isinstance(tag, jsonrpc.Invalid):
            return jsonrpc.encode_error(tag.id, tag.fault, tag.version)
        if tag.notification:
            return None
        if outcome.fault is not None:
            return jsonrpc.encode_error(tag.id, outcome.fault, tag.version, default=plain)
        return jsonrpc.encode_result(tag.id, outcome.value, tag.version, default=plain)

    def join(self, pieces: list[bytes | None]) -> bytes:
        """Return the array of the responses that are due."""
        due = [piece for piece in pieces if piece is not None]
        return jsonrpc.encode_batch(due) if due else b""

    def malformed(self, error: RemoteProtocolError) -> bytes:
        """Encode an error with a null id."""
        return jsonrpc.encode_error(None, Fault(error.code, error.message))
