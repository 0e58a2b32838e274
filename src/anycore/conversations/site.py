"""What a server answers to HTTP requests: its routes, its limits, and who may ask at all (the Host header)."""

from __future__ import annotations

import ipaddress
import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from anycore.conversations.base import NO_JOBS, Job
from anycore.conversations.exchange import Exchange, Headers
from anycore.conversations.identifying import presented
from anycore.conversations.jsonrpc import JsonRpc
from anycore.conversations.rpc import HttpWire, RpcExchange, RpcHandler
from anycore.conversations.xmlrpc import XmlRpc
from anycore.identity.forwarded import ForwardedError
from anycore.identity.forwarding import Forwarding
from anycore.kernel.call import NO_CREDENTIALS
from anycore.kernel.incidents import Incidents
from anycore.wire.http1 import RequestParser, usual_start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anycore.kernel.call import Peer
    from anycore.kernel.kernel import Kernel
    from anycore.wire.http1 import Request

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", ""})

_CHARSET: Final = re.compile(r""";[ \t]*charset[ \t]*=[ \t]*["']?([^"';\s]+)""", re.IGNORECASE)
_REMEMBERED: Final = 128
"""Values of a header field that are not looked into again."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds on what one peer may send and ask for.

    Args:
        line: Bytes of a request line, and of each header line; a chain of certificates in one takes more than 8192.
        header_bytes: Bytes of a header section.
        headers: Header fields in a request.
        body: Bytes of a body, also after it is inflated.
        depth: Nesting of values.
        values: Values in a request.
        batch: Calls in a JSON-RPC batch.
        pipeline: Requests of one connection that may wait for their answers.
        call_time: Seconds a call may take; 0 for no limit.
        compress_above: Bytes from which a response is compressed for peers that take it.
    """

    line: int = 32768
    header_bytes: int = 65536
    headers: int = 100
    body: int = 16 * 1024 * 1024
    depth: int = 64
    values: int = 1_000_000
    batch: int = 1000
    pipeline: int = 64
    call_time: float = 60.0
    compress_above: int = 1400


class Page(Protocol):
    """Answers GET and HEAD requests of one path."""

    def open(self, exchange: Exchange) -> Sequence[Job]:
        """Begin the answer; raises nothing. Set the response here, or return jobs that do."""


class HttpSite:
    """The routes of a server.

    Args:
        kernel: Where calls go.
        limits: Bounds.
        incidents: Where bad input is counted.
        pages: What answers GET, by path.
        hosts: Host names, without ports, that requests may name besides this machine's own and addresses; None for any. A page in a
            browser can reach a loopback listener under a name of its own (DNS rebinding), which this refuses.
        forwarding: Says where a request came from that a proxy has sent on; believes none when left out.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        limits: Limits | None = None,
        incidents: Incidents | None = None,
        pages: Mapping[str, Page] | None = None,
        hosts: Sequence[str] | None = (),
        forwarding: Forwarding | None = None,
    ) -> None:
        self._forwarding = forwarding if forwarding is not None else Forwarding()
        self.limits = limits if limits is not None else Limits()
        self.incidents = incidents if incidents is not None else Incidents()
        self.handler = RpcHandler(kernel, self.limits, self.incidents)
        self.pages = dict(pages or {})
        self.hosts = None if hosts is None else _LOCAL_HOSTS | {host.lower() for host in hosts}
        xml, json = XmlRpc(self.limits), JsonRpc(self.limits)
        self._by_type: dict[str, HttpWire] = {
            "text/xml": xml,
            "application/xml": xml,
            "application/json": json,
            "text/json": json,
            "application/json-rpc": json,
            "application/jsonrequest": json,
        }
        self._paths: dict[str, HttpWire | None] = {"/": None, "/RPC2": None, "/clarens/": None, "/jsonrpc": json}
        self._date, self._next_second = "", 0
        self._starts: dict[Headers, bytes] = {}
        # What peers send here is nearly always what they sent before.
        self._host = lru_cache(maxsize=_REMEMBERED)(self._known_host)
        self._media = lru_cache(maxsize=_REMEMBERED)(self._wire_of)

    def parser(self) -> RequestParser:
        """Return a new request parser with the site's limits."""
        limits = self.limits
        return RequestParser(
            max_line=limits.line,
            max_header_bytes=limits.header_bytes,
            max_headers=limits.headers,
            max_body=limits.body,
        )

    def date(self) -> str:
        """Return the present time as RFC 9110 section 5.6.7 writes it."""
        now = time.time()
        if now >= self._next_second:
            self._date = formatdate(now, usegmt=True)
            self._starts.clear()
            self._next_second = int(now) + 1
        return self._date

    def start(self, headers: Headers) -> bytes:
        """Return the start of a usual response with these headers and the date; see `usual_start`."""
        date = self.date()
        try:
            return self._starts[headers]
        except KeyError:
            made = usual_start((*headers, ("Date", date)))
            if len(self._starts) < _REMEMBERED:  # some headers are of one answer only
                self._starts[headers] = made
            return made

    def open(self, request: Request, peer: Peer) -> tuple[Exchange, Sequence[Job]]:
        """Begin the answer to a request."""
        kin, rules = request.kin, self._forwarding.rules
        if kin is not None and kin.note is not None and kin.note[0] is rules:
            _, form, charset = kin.note
            exchange = RpcExchange(request, peer)
            return exchange, self.handler.open(exchange, form, charset)
        headers = request.headers
        connected = peer
        try:
            peer = self._forwarding.sender(peer, headers)
        except ForwardedError as error:
            return self._unattributed(request, peer, str(error))
        if self.hosts is not None and not self._host(headers.get("host", "")):
            return self._misdirected(request, peer)
        if request.method == "POST" and request.path in self._paths:
            form, charset = self._media(headers.get("content-type", ""))
            wanted = self._paths[request.path]
            if form is not None and (wanted is None or wanted is form):
                exchange = RpcExchange(request, peer)
                exchange.credentials = credentials = presented(headers, rules.names)
                if kin is not None and peer is connected and credentials is NO_CREDENTIALS:
                    kin.note = (rules, form, charset)  # the next request with this head goes the short way
                return exchange, self.handler.open(exchange, form, charset)
            return self._unsupported(request, peer, wanted)
        return self._other(request, peer)

    def _known_host(self, host: str) -> bool:
        assert self.hosts is not None
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].lower()
        return name in self.hosts or _is_address(name)

    def _wire_of(self, content_type: str) -> tuple[HttpWire | None, str | None]:
        """Return the wire of a media type, and its charset parameter."""
        charset = _CHARSET.search(content_type)
        form = self._by_type.get(content_type.partition(";")[0].strip().lower())
        return form, charset[1] if charset is not None else None

    def _unattributed(self, request: Request, peer: Peer, message: str) -> tuple[Exchange, Sequence[Job]]:
        """Refuse what a proxy has sent on without saying for whom: nothing that goes by address could be kept."""
        exchange = Exchange(request, peer)
        message = f"the proxy does not say where this came from: {message}"
        self.incidents.note(peer, "http-forwarded", message)
        exchange.reply(400, f"{message}\n")
        return exchange, NO_JOBS

    def _misdirected(self, request: Request, peer: Peer) -> tuple[Exchange, Sequence[Job]]:
        exchange = Exchange(request, peer)
        message = (
            f"this server does not answer to the host {request.headers.get('host', '')[:100]!r}; use localhost or the"
            " address, or add the name to `hosts` of the listener"
        )
        self.incidents.note(peer, "http-421", message)
        exchange.reply(421, f"{message}\n")
        return exchange, NO_JOBS

    def _unsupported(self, request: Request, peer: Peer, wanted: HttpWire | None) -> tuple[Exchange, Sequence[Job]]:
        exchange = Exchange(request, peer)
        types = ", ".join(name for name, form in self._by_type.items() if wanted in (None, form))
        given = request.headers.get("content-type", "")[:100]
        message = f"{request.path} takes {types}; the request's Content-Type is {given!r}"
        self.incidents.note(peer, "http-415", message)
        exchange.reply(415, f"{message}\n", headers=(("Accept", types),))
        return exchange, NO_JOBS

    def _other(self, request: Request, peer: Peer) -> tuple[Exchange, Sequence[Job]]:
        exchange = Exchange(request, peer)
        exchange.credentials = presented(request.headers, self._forwarding.rules.names)
        page = self.pages.get(request.path)
        allowed = ("GET, HEAD" if page else "") + (", " if page and request.path in self._paths else "")
        allowed += "POST" if request.path in self._paths else ""
        if request.path == "*":  # RFC 9110 section 9.3.7: the server as a whole
            exchange.reply(204, headers=(("Allow", "GET, HEAD, POST, OPTIONS"),))
        elif not allowed:
            self.incidents.note(peer, "http-404", f"there is no {request.path[:100]!r}")
            exchange.reply(404, f"there is nothing at {request.path[:100]!r}; calls are POSTed to /RPC2 or /jsonrpc\n")
        elif request.method == "OPTIONS":
            exchange.reply(204, headers=(("Allow", f"{allowed}, OPTIONS"),))
        elif page is not None and request.method in ("GET", "HEAD"):
            return exchange, page.open(exchange)
        else:
            self.incidents.note(peer, "http-405", f"{request.method} of {request.path}")
            message = f"{request.path} allows {allowed}, not {request.method}\n"
            exchange.reply(405, message, headers=(("Allow", f"{allowed}, OPTIONS"),))
        return exchange, NO_JOBS


def _is_address(host: str) -> bool:
    """Tell whether a host is an address: that is no name, so nobody can have pointed it here."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
