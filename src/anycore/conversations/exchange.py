"""An HTTP request and the response in the making, and the jobs that work for it."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Final

from anycore.conversations.base import FAILED, Job
from anycore.kernel.call import NO_CREDENTIALS, UNIDENTIFIED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.authentication import AuthenticationFault
    from anycore.kernel.call import Credentials, Identity, Peer
    from anycore.wire.http1 import Request

PLAIN: Final = "text/plain; charset=utf-8"

Headers = tuple[tuple[str, str], ...]


class Exchange:
    """A request and the response in the making.

    Attributes:
        request: The request; None when none could be made out of the bytes.
        peer: Who asked.
        pending: How many jobs are still out; the response is ready at 0.
        status: The response's status.
        headers: The response's headers, without those that framing needs.
        body: The response's body.
        close: Whether the connection ends after it.
        credentials: What the request presents.
        identity: Who sent it, once that is known; where it is not, the kernel finds it out with each call.
        refusal: Why nobody knows who sent it.
        greeting: Header fields for the sender, from whoever knows it, besides `headers`.
    """

    __slots__ = (
        "body",
        "close",
        "credentials",
        "greeting",
        "headers",
        "identity",
        "peer",
        "pending",
        "refusal",
        "request",
        "status",
    )

    def __init__(self, request: Request | None, peer: Peer) -> None:
        self.request = request
        self.peer = peer
        self.credentials: Credentials = NO_CREDENTIALS
        self.identity: Identity = UNIDENTIFIED
        self.refusal: AuthenticationFault | None = None
        self.greeting: Headers = ()
        self.pending = 0
        self.status = 204
        self.headers: Headers = ()
        self.body = b""
        self.close = request is None or not request.keep_alive

    def reply(self, status: int, body: bytes | str = b"", content_type: str = PLAIN, headers: Headers = ()) -> None:
        """Set the response.

        Args:
            status: The HTTP status.
            body: The body; text goes as UTF-8.
            content_type: The body's media type.
            headers: Further headers.
        """
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = (("Content-Type", content_type), *headers) if body else headers


class ExchangeJob(Job):
    """A job that works for an exchange.

    Args:
        exchange: The exchange.
    """

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @abc.abstractmethod
    def settle(self) -> Sequence[Job]:
        """Enter the result into the exchange, on the connection's own thread.

        Returns:
            Work that follows from it.
        """

    def refuse(self, reason: str) -> None:
        """Answer 503 in place of the work."""
        self.exchange.reply(503, f"{reason}\n", headers=RETRY)

    def fail(self) -> None:
        """Answer 500 in place of the work."""
        self.exchange.reply(500, f"{FAILED}\n")


RETRY: Final[Headers] = (("Retry-After", "1"),)
