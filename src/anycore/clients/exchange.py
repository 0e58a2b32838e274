"""One question and its reply over HTTP, without I/O: bytes to send, bytes received, and what comes of them.

Both clients are built on it. Connections, time and threads are theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anycore.clients.errors import CURES, TransportError
from anycore.clients.questions import JsonRpcWire, Wire, XmlRpcWire
from anycore.clients.target import Target, parse_target
from anycore.wire.coding import deflate, inflate
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1 import Response, ResponseParser, encode_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.clients.questions import Default, Question

MAX_REPLY: Final = 64 * 1024 * 1024
IDLE_TIME: Final = 50.0  # below the 75 s of Anycore's servers and of others'
_WORTH_COMPRESSING: Final = 1024
_ON_ITS_WAY: Final = 1.0


@dataclass(frozen=True)
class Endpoint:
    """Where a client's calls go and how they are written; made by `make_endpoint`.

    Attributes:
        target: What the URL says.
        wire: How calls look.
        headers: The header fields of every request.
        timeout: Seconds for a call from its start to its whole reply, or None for no limit.
        compress: Whether to send large requests as gzip.
        max_reply: The largest reply, in bytes, before and after decompression.
        idle_time: Seconds that a connection may have been idle and still carry a question.
        retries: How often a question is asked once more when its connection has ended without an answer.
    """

    target: Target
    wire: Wire
    headers: tuple[tuple[str, str], ...]
    timeout: float | None
    compress: bool
    max_reply: int
    idle_time: float
    retries: int

    def open(self, question: Question, seconds: float | None) -> Exchange:
        """Return the exchange that asks `question`, with `seconds` left for it."""
        headers, body = list(self.headers), question.body
        if seconds is not None:
            headers.append(("Request-Timeout", f"{max(seconds, 0.001):.3f}"))
        if self.compress and len(body) >= _WORTH_COMPRESSING:
            headers.append(("Content-Encoding", "gzip"))
            body = deflate(body, "gzip")
        return Exchange(self, question, encode_request("POST", self.target.path, headers, body))


def make_endpoint(
    url: str,
    *,
    timeout: float | None,
    headers: Mapping[str, str] | None,
    compress: bool,
    max_reply: int,
    default: Default | None,
    idle_time: float = IDLE_TIME,
    retries: int = 0,
) -> Endpoint:
    """Check a client's settings once, before its first call; see `anycore.clients.connect` for what they mean.

    Raises:
        ValueError: The URL or one of the numbers has no meaning.
        LocalProtocolError: A header cannot be sent.
    """
    target = parse_target(url)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be a number of seconds above 0, or None for no limit, not {timeout!r}")
    if not idle_time >= 0:
        raise ValueError(f"idle_time must be a number of seconds, 0 to keep no connection, not {idle_time!r}")
    if retries < 0:
        raise ValueError(f"retries must be a number of times, 0 for none, not {retries!r}")
    wire = JsonRpcWire(default) if target.wire == "jsonrpc" else XmlRpcWire(default)
    fields = {
        "Host": target.host_header,
        "Content-Type": wire.content_type,
        "Accept-Encoding": "gzip",
        "User-Agent": "anycore",
    }
    if target.authorization:
        fields["Authorization"] = target.authorization
    given = {name.lower() for name in headers or ()}
    merged = [(name, value) for name, value in fields.items() if name.lower() not in given]
    merged += (headers or {}).items()
    encode_request("POST", target.path, merged)  # refuses here what would fail in every call
    return Endpoint(target, wire, tuple(merged), timeout, compress, max_reply, idle_time, retries)


class Exchange:
    """One question on its way.

    Args:
        endpoint: Where it goes.
        question: What is asked.
        request: The bytes to send.

    Attributes:
        request: The bytes to send.
        started: Some byte of the reply has come.
        keep: Seconds that the connection may be idle and then carry another question; 0 when it must not, because the reply
            is not complete or says so.
    """

    __slots__ = ("_endpoint", "_error", "_parser", "_question", "_response", "keep", "request", "started")

    def __init__(self, endpoint: Endpoint, question: Question, request: bytes) -> None:
        self._endpoint = endpoint
        self._question = question
        self._parser = ResponseParser(max_body=endpoint.max_reply)
        self._parser.expect("POST")
        self._response: Response | None = None
        self._error: RemoteProtocolError | None = None
        self.request = request
        self.started = False
        self.keep = 0.0

    def feed(self, data: bytes) -> bool:
        """Take bytes of the reply; returns whether there is nothing more to wait for. Never raises."""
        self.started = True
        try:
            responses = self._parser.feed(data)
        except RemoteProtocolError as error:
            self._error = error
            return True
        return self._take(responses)

    def eof(self) -> None:
        """Take note of the end of the connection, and so of the reply. Never raises."""
        try:
            self._take(self._parser.eof())
        except RemoteProtocolError as error:
            self._error = error

    def _take(self, responses: list[Response]) -> bool:
        if not responses:
            return False
        self._response = response = responses[0]
        if response.keep_alive and self._parser.error is None:
            self.keep = min(self._endpoint.idle_time, _kept_for(response.headers.get("keep-alive", "")))
        return True

    def result(self) -> Any:
        """Return what the reply says.

        Raises:
            Fault: The server answered with a fault.
            TransportError: It did not answer the question.
        """
        if self._response is None:
            reason = self._error or "the connection ended"
            raise TransportError(f"no HTTP reply that can be read: {reason}", self._endpoint.target.url)
        try:
            value = self._read(self._response)
        except RemoteProtocolError as error:
            raise self._refuse(self._response, error) from error
        if 200 <= self._response.status <= 299:
            return value
        raise self._refuse(self._response, None)

    def _read(self, response: Response) -> Any:
        body, headers = response.body, response.headers
        coding = headers.get("content-encoding")
        if coding is not None:
            body = inflate(body, coding, self._endpoint.max_reply)
        return self._question.read(body, _charset(headers.get("content-type", "")))

    def _refuse(self, response: Response, error: RemoteProtocolError | None) -> TransportError:
        url, status = self._endpoint.target.url, response.status
        if 200 <= status <= 299:
            kind = response.headers.get("content-type", "nothing")
            message = f"the reply, sent as {kind}, is no {self._endpoint.wire.title} answer: {error}"
            return TransportError(f"{message}; check the URL's path and scheme", url, status)
        where = response.headers.get("location")
        cure = CURES.get(status, "the server's log may say why")
        return TransportError(f"HTTP status {status}{f' to {where}' if where else ''}; {cure}", url, status)


def _kept_for(field: str) -> float:
    """For how many seconds to rely on a server that says how long it keeps a connection (RFC 2068 section 19.7.1.1).

    The question has to arrive there before that time is over.
    """
    for parameter in field.split(","):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdecimal():
            return max(float(value) - _ON_ITS_WAY, 0.0)
    return math.inf


def _charset(content_type: str) -> str | None:
    """The charset parameter of a Content-Type (RFC 9110 section 8.3.2), or None."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or None
    return None
