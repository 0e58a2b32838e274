"""A request that another HTTP server has read, held to the same rules as one of our own, and the answer to it.

No bytes of HTTP leave here: framing and connections are that server's business. How it hands requests over is a core's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from anycore.conversations.base import NO_JOBS, Job
from anycore.conversations.exchange import RETRY, Exchange, ExchangeJob
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1_head import check_limits
from anycore.wire.http1_request import CHUNKED, parse_request_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anycore.conversations.site import HttpSite
    from anycore.kernel.call import Peer

_BREAKS_OUT: Final = re.compile(rb"[\r\n\x00]")
_HOP: Final = frozenset({b"transfer-encoding", b"connection"})
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Visit:
    """A request and its answer. Feed it the body as it arrives; once it has been opened and all its jobs are finished, it is answered.

    The head is written down again and read by our own parser, so that the limits of the site, the rules about `Host` and framing, and the
    answers to what breaks them are the same as on our own listeners.

    Args:
        site: What answers.
        peer: Who asks.
        method: As sent.
        target: As sent, percent-encoded, in bytes.
        headers: Names and values, as sent.
        version: Of HTTP, as in `1.1`.
        framed: Whether the server knows by itself where the body ends, as in HTTP/2.

    Attributes:
        peer: Who asks.
    """

    __slots__ = ("_exchange", "_length", "_pieces", "_request", "_site", "_size", "peer")

    def __init__(
        self,
        site: HttpSite,
        peer: Peer,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        version: str = "1.1",
        framed: bool = False,
    ) -> None:
        self.peer = peer
        self._site = site
        self._exchange: Exchange | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        limits = site.limits
        try:
            head = _head(method, target, headers, version if version in _VERSIONS else "1.1", framed=framed)
            check_limits(head, limits.line, limits.header_bytes)
            opened = parse_request_head(head, limits.headers, limits.body)
        except RemoteProtocolError as error:
            self.blame(error.code, error.message)
        else:
            self._request, self._length = opened.request, opened.length

    @property
    def answered(self) -> bool:
        """Whether the answer is ready."""
        return self._exchange is not None and not self._exchange.pending

    @property
    def wants_body(self) -> bool:
        """Whether more of the body is to be read."""
        return self._exchange is None and self._length != 0 and (self._length == CHUNKED or self._size < self._length)

    def feed(self, data: bytes) -> None:
        """Take a piece of the body. One that is over the limit answers the request at once."""
        if self._exchange is not None:
            return
        self._size += len(data)
        if self._size > self._site.limits.body:
            self.blame(413, f"the body is larger than {self._site.limits.body} bytes")
        elif self._length != CHUNKED and self._size > self._length:
            self.blame(400, "the body is longer than its Content-Length")
        else:
            self._pieces.append(data)

    def open(self) -> Sequence[Job]:
        """Begin the answer, as the body is complete.

        Returns:
            Work to be done; each job is given back with `finish`.
        """
        if self._exchange is not None:
            return NO_JOBS
        if self._length not in (CHUNKED, self._size):
            self.cut()
            return NO_JOBS
        request = self._request
        request.body = b"".join(self._pieces)
        self._pieces.clear()
        self._exchange, jobs = self._site.open(request, self.peer)
        self._exchange.pending = len(jobs)
        return jobs

    def finish(self, job: Job) -> Sequence[Job]:
        """Take back a job that was run or refused.

        Returns:
            Work that follows from it.
        """
        assert isinstance(job, ExchangeJob)
        jobs = job.settle()
        job.exchange.pending += len(jobs) - 1
        return jobs

    def blame(self, status: int, message: str) -> None:
        """Answer that the request is none."""
        self._site.incidents.note(self.peer, f"http-{status}", message)
        self._reply(status, message)

    def cut(self) -> None:
        """The peer has gone, or stopped, in the middle of the body."""
        self._site.incidents.note(self.peer, "http-cut", "the connection ended in the middle of a request")
        self._reply(400, "the body is shorter than its Content-Length")

    def time_out(self) -> None:
        """Answer 408 to half a body, 503 to a request whose answer takes too long; what jobs still find goes nowhere."""
        if self._exchange is None:
            self.blame(408, "the request did not arrive in time")
            return
        message = "the answer was not ready in time"
        self._site.incidents.note(self.peer, "http-slow", message)
        self._reply(503, message)

    def fail(self) -> None:
        """Answer that the server failed."""
        self._reply(500, "the server failed at this; its log says why")

    def _reply(self, status: int, message: str) -> None:
        exchange = Exchange(None, self.peer)
        exchange.reply(status, f"{message}\n", headers=RETRY if status == 503 else ())
        self._exchange = exchange

    @property
    def last(self) -> bool:
        """Whether the connection should end after the answer, as the request was not read to its end."""
        return self._exchange is not None and self._exchange.request is None

    def answer(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return status, headers with the length, and body of the answer. A HEAD request's answer has a length and a body of none.

        The date and what concerns the connection is for the server to add.
        """
        exchange = self._exchange
        assert exchange is not None
        headers = list(exchange.headers)
        if exchange.status not in (204, 304):
            headers.append(("Content-Length", str(len(exchange.body))))
        head = exchange.request is not None and exchange.request.method == "HEAD"
        return exchange.status, headers, b"" if head else exchange.body


def _head(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], version: str, *, framed: bool) -> bytes:
    """Write a head down again.

    Raises:
        RemoteProtocolError: A part would not stay in its place (400).
    """
    lines = [b"%b %b HTTP/%b" % (method.encode("latin-1", "replace"), target, version.encode())]
    length = False
    for name, value in headers:
        if framed:
            if name in _HOP:
                continue
            length = length or name == b"content-length"
        lines.append(b"%b: %b" % (name, value))
    if framed and not length and method in _WITH_BODY:
        lines.append(b"transfer-encoding: chunked")
    if any(_BREAKS_OUT.search(line) for line in lines):
        raise RemoteProtocolError("the head has a control character", 400)
    lines += [b"", b""]
    return b"\r\n".join(lines)
