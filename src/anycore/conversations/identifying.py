"""Who sent an HTTP request: what it presents, and the answer to those whom nobody knows. Who it is, the kernel's chain finds out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.conversations.exchange import PLAIN, Exchange, ExchangeJob, Headers
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import ANONYMOUS, NO_CREDENTIALS, Credentials, Mode
from anycore.wire.faults import ACCESS_DENIED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Job
    from anycore.kernel.authentication import Chain
    from anycore.kernel.call import Call
    from anycore.wire.faults import Fault


def presented(headers: dict[str, str], proxied: Sequence[str] = ()) -> Credentials:
    """Return what a request presents.

    Args:
        headers: Its header fields, names in lower case.
        proxied: The names of the fields in which a proxy says who called it.
    """
    authorization, cookie = headers.get("authorization", ""), headers.get("cookie", "")
    said = tuple([(name, headers[name]) for name in proxied if name in headers]) if proxied else ()
    return Credentials(authorization, cookie, said) if authorization or cookie or said else NO_CREDENTIALS


def refuse(exchange: Exchange, fault: AuthenticationFault, chain: Chain | None, body: bytes, content_type: str) -> None:
    """Set the response to whom nobody knows: 401 with what may be presented (RFC 9110 section 15.5.2), or 429 (RFC 6585 section 4).

    Args:
        exchange: The request.
        fault: Why it is refused.
        chain: What may be presented.
        body: The fault as the wire has it; its message is sent where this is empty.
        content_type: The body's media type.
    """
    if not body:
        body, content_type = f"{fault.message}\n".encode(), PLAIN
    if fault.retry_after:
        exchange.reply(429, body, content_type, (("Retry-After", f"{fault.retry_after:.0f}"),))
        return
    challenges: Headers = tuple(("WWW-Authenticate", one) for one in chain.challenges) if chain is not None else ()
    # A 401 without a challenge is none: where only certificates are taken, nothing can be sent along with the next request.
    exchange.reply(401 if challenges else 403, body, content_type, challenges)


def fail(exchange: Exchange, fault: Fault, call: Call, chain: Chain | None) -> None:
    """Set the response to a request for a page whose call has failed.

    Whoever has presented nothing, and may not see the page, is asked who it is: so browsers ask for a password.

    Args:
        exchange: The request.
        fault: Why the call failed.
        call: The call.
        chain: What may be presented.
    """
    if isinstance(fault, AuthenticationFault):
        refuse(exchange, fault, chain, b"", PLAIN)
    elif (
        fault.code == ACCESS_DENIED and call.identity.kind == ANONYMOUS.kind and chain is not None and chain.challenges
    ):
        refuse(exchange, AuthenticationFault(fault.message), chain, b"", PLAIN)
    else:
        exchange.reply(403 if fault.code == ACCESS_DENIED else 500, f"{fault.message}\n")


class IdentifyJob(ExchangeJob):
    """Finds out who sent a request, where that takes time, before anything else is done for it.

    Args:
        exchange: The request.
        chain: Finds it out.
        proceed: Begins the answer then.
    """

    __slots__ = ("_chain", "_failed", "_proceed")

    def __init__(self, exchange: Exchange, chain: Chain, proceed: Callable[[], Sequence[Job]]) -> None:
        super().__init__(exchange)
        self.mode = Mode.BLOCKING
        self._chain = chain
        self._proceed = proceed
        self._failed = True

    def run(self) -> None:
        """Ask the chain."""
        identify(self.exchange, self._chain)
        self._failed = False

    def settle(self) -> Sequence[Job]:
        """Go on with the request, unless the server was at a limit."""
        return () if self._failed else self._proceed()


def identify(exchange: Exchange, chain: Chain) -> None:
    """Find out who sent a request, or why nobody knows.

    Args:
        exchange: The request; its identity or its refusal is set, and what greets the sender.
        chain: Finds it out.
    """
    try:
        exchange.identity = chain.authenticate(exchange.peer, exchange.credentials)
        if chain.welcome is not None:
            exchange.greeting = chain.welcome(exchange.peer, exchange.credentials, exchange.identity)
    except AuthenticationFault as fault:
        exchange.refusal = fault
