"""The answers of the servers that parse nothing, by the two bytes of the path that the harness asks them with."""

from __future__ import annotations

from benchmarks.workload import CALLS, CONTENT_TYPES, response_body

# "POST /xa HTTP/1.1": where the two bytes stand.
TAG = slice(6, 8)


def tag(wire: str, call: str) -> str:
    """Return the two letters that stand for a wire and a call."""
    return wire[0] + call[0]


def answers() -> dict[bytes, bytes]:
    """Return each whole HTTP response by its tag."""
    return {
        tag(wire, name).encode(): b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (content_type.encode(), len(body), body)
        for wire, content_type in CONTENT_TYPES.items()
        for name, call in CALLS.items()
        if (body := response_body(wire, call))
    }
