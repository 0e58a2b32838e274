"""The checks of `check_core` in the form of HTTP, for cores whose server reads HTTP itself: each message is a request, each answer its.

What a check does with bytes of its own cannot be put so; `BYTES` names those checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.conversations.exchange import Exchange, ExchangeJob
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite, Limits
from anycore.cores.base import Listener
from anycore.kernel.kernel import Kernel
from anycore.testing.certificate import certificate_files
from anycore.testing.lines import REFUSED, TIMED_OUT, Lines
from anycore.testing.served import Bench, Caller, Served
from anycore.wire.http1 import ResponseParser, encode_request

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Conversation, Job
    from anycore.kernel.call import Peer
    from anycore.testing.lines import Journal
    from anycore.wire.http1 import Request

BYTES: Final = frozenset(
    {
        "takes_single_bytes",
        "stops_reading_when_no_input_is_wanted",
        "ends_slow_messages",
        "ends_half_messages",
        "ends_slow_handshakes",
        "delivers_the_last_answer_past_unread_input",
        "waits_for_messages_under_way_when_it_stops",
        "cuts_off_what_hangs_when_it_stops",
    }
)
"""Checks that send half a message, or something that is none."""
_MEGABYTE: Final = 1 << 20


class _Message(ExchangeJob):
    """A job of `Lines` that works for an exchange."""

    __slots__ = ("line", "lines")

    def __init__(self, exchange: Exchange, lines: Lines, line: Job) -> None:
        super().__init__(exchange)
        self.mode = line.mode
        self.lines = lines
        self.line = line

    def run(self) -> None:
        self.line.run()

    async def run_async(self) -> None:
        await self.line.run_async()

    def refuse(self, reason: str) -> None:
        self.line.refuse(reason)

    def fail(self) -> None:
        self.line.fail()

    def settle(self) -> Sequence[Job]:
        more = [_Message(self.exchange, self.lines, job) for job in self.lines.finish(self.line)]
        if not more:
            self.exchange.reply(200, self.lines.take())
            self.lines.eof()
        return more


class LinesSite(HttpSite):
    """Answers each request as `Lines` answers a message.

    Args:
        journal: Where everything is noted.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(Kernel(), limits=Limits(body=64 * _MEGABYTE), hosts=None)
        self._journal = journal

    def open(self, request: Request, peer: Peer) -> tuple[Exchange, Sequence[Job]]:
        """Begin the answer."""
        exchange = Exchange(request, peer)
        lines = self._journal.open(peer)
        return exchange, [_Message(exchange, lines, job) for job in lines.feed(request.body + b"\n")]


class HttpCaller(Caller):
    """The peer's end of a connection on which HTTP is spoken."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._parser = ResponseParser(max_body=64 * _MEGABYTE)
        self._answers: list[str] = []

    def send(self, *lines: str) -> None:
        """Send a request for each line, all in one piece."""
        for _ in lines:
            self._parser.expect("POST")
        self.socket.sendall(b"".join(_request(line) for line in lines))

    def line(self) -> str:
        """Return the next answer; an empty string when the core has closed the connection."""
        while not self._answers:
            piece = self.socket.recv(1 << 20)
            if not piece:
                return ""
            if not self._parser.outstanding:  # the core says something of its own accord
                self._parser.expect("POST")
            for response in self._parser.feed(piece):
                text = response.body.decode().removesuffix("\n")
                self._answers.append({408: TIMED_OUT, 503: f"{REFUSED}: {text}"}.get(response.status, text))
        return self._answers.pop(0)

    def gone(self) -> bool:
        """Wait for the core to close the connection; in HTTP it may say why before."""
        try:
            return self.line().partition(":")[0] in ("", TIMED_OUT, REFUSED) and not self.line()
        except TimeoutError:
            return False
        except OSError:
            return True


def _request(line: str) -> bytes:
    headers = [("Host", "localhost"), ("Content-Type", "text/plain")]
    if line.startswith("bye"):
        headers.append(("Connection", "close"))
    return encode_request("POST", "/", headers, line.encode())


class HttpServed(Served):
    """A core at work whose peers speak HTTP."""

    def connect(self, tls: ssl.SSLContext | None = None, *, receive_buffer: int = 0) -> Caller:
        """Connect a peer."""
        return HttpCaller(super().connect(tls, receive_buffer=receive_buffer).socket)


class HttpBench(Bench):
    """Makes cores for checks, and peers that speak HTTP."""

    served = HttpServed

    def listener(
        self,
        bound: socket.socket,
        journal: Journal,
        opener: Callable[[Journal, Peer], Conversation],  # noqa: ARG002 - of conversations in lines
        tls: ssl.SSLContext | None,
    ) -> Listener:
        """Return a listener with a site that answers as `Lines` does."""
        site = LinesSite(journal)
        return Listener(
            bound, lambda peer: HttpConversation(peer, site, max_pipeline=1000), "test:", tls, site, certificate_files()
        )
