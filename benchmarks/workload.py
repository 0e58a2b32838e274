"""What is called: `add(2, 3)` and `echo` of a nested value, as bytes of each wire, and how an answer is checked.

Used by the harness, the peers and the codec benchmark, so it imports the standard library only.
"""

from __future__ import annotations

import json
import xmlrpc.client
from dataclasses import dataclass
from typing import Any

CONTENT_TYPES = {"xmlrpc": "text/xml", "jsonrpc": "application/json"}


class WrongAnswerError(Exception):
    """An answer was not the one that the call must give."""


@dataclass(frozen=True)
class Call:
    """One call of the benchmark: its method, its parameters, and the result that every server must give."""

    method: str
    params: tuple[Any, ...]
    result: Any


def nested_value() -> dict[str, Any]:
    """Return the value that is echoed: 60 scalars of four types, three levels deep, 2 KB as JSON."""
    records = [
        {
            "serial": 4_711_000 + 13 * i,
            "location": f"building {i}, machine hall behind the workshop, north-east corner, rack {i * 3 + 1}",
            "firmware": f"release 2.{i}.{i * 7} of the stable branch, flashed over the field bus",
            "celsius": 18.25 + i / 2,
            "limits": [-20.5, 60.0 + i / 4],
            "online": i % 3 != 0,
        }
        for i in range(1, 9)
    ]
    return {"site": "Rossendorf", "revision": 1_848, "complete": True, "drift": 0.0625, "records": records}


CALLS = {
    "add": Call("add", (2, 3), 5),
    "echo": Call("echo", (nested_value(),), nested_value()),
}


def request_body(wire: str, method: str, call: Call) -> bytes:
    """Return the body that calls `method` (its full name, such as `bench.add`) with the parameters of `call`."""
    if wire == "xmlrpc":
        return xmlrpc.client.dumps(call.params, method).encode()
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": call.params}
    return json.dumps(message, separators=(",", ":")).encode()


def response_body(wire: str, call: Call) -> bytes:
    """Return a body that answers `call`, as a canned answer for the servers that only mark the ceiling."""
    if wire == "xmlrpc":
        return xmlrpc.client.dumps((call.result,), methodresponse=True).encode()
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": call.result}, separators=(",", ":")).encode()


def check_answer(wire: str, call: Call, body: bytes) -> None:
    """Check that `body` is the right answer to `call` over `wire`.

    Raises:
        WrongAnswerError: it is broken, a fault, or another value.
    """
    try:
        value = _value(wire, body)
    except Exception as error:  # whatever a broken answer makes a parser raise, it is a wrong answer
        raise WrongAnswerError(f"{call.method} over {wire}: unreadable answer {body[:200]!r}: {error!r}") from error
    # Types count as well: 5.0 is not 5, and 1 is not true.
    if json.dumps(value, sort_keys=True) != json.dumps(call.result, sort_keys=True):
        raise WrongAnswerError(f"{call.method} over {wire}: expected {call.result!r:.80}, got {value!r:.80}")


def _value(wire: str, body: bytes) -> Any:
    if wire == "xmlrpc":
        (value,), _ = xmlrpc.client.loads(body)
        return value
    message = json.loads(body)
    if wire == "grpc":
        return message
    if message["id"] != 1 or message["jsonrpc"] != "2.0":
        raise ValueError("not the answer to request 1 in JSON-RPC 2.0")
    return message["result"]
