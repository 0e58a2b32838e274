"""The WSGI application of a site (PEP 3333). Which server calls it is not known here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_from_bytes

from anycore.conversations.gateway import Visit
from anycore.cores.foreign.peers import wsgi_peer

if TYPE_CHECKING:
    from anycore.conversations.site import HttpSite
    from anycore.cores.foreign.runner import ThreadRunner
    from anycore.kernel.call import Peer

_log = logging.getLogger("anycore.core")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

_PIECE: Final = 1 << 16
_SAFE: Final = "/*:@!$&'()+,;=~"
_PHRASES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class WsgiApplication:
    """Answers requests that a WSGI server has read, in the server's own threads.

    Args:
        runner: Runs the jobs.
        site_of: Returns the site that answers a peer.
        start: Called before each request: what is to be started, is started with the first.
    """

    def __init__(
        self, runner: ThreadRunner, site_of: Callable[[Peer], HttpSite], start: Callable[[], None] = lambda: None
    ) -> None:
        self._runner = runner
        self._site_of = site_of
        self._start = start

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; see PEP 3333."""
        self._start()
        visit = self._visit(environ)
        self._receive(visit, environ)
        if not visit.answered:
            self._work(visit)
        status, headers, body = visit.answer()
        start_response(_PHRASES.get(status, f"{status} "), headers)
        return [body]

    def _visit(self, environ: Environ) -> Visit:
        peer = wsgi_peer(environ)
        version = str(environ.get("SERVER_PROTOCOL", "HTTP/1.1")).removeprefix("HTTP/")
        return Visit(
            self._site_of(peer),
            peer,
            environ["REQUEST_METHOD"],
            _target(environ),
            _headers(environ),
            version=version,
            framed=version not in ("1.0", "1.1"),
        )

    def _receive(self, visit: Visit, environ: Environ) -> None:
        """Read the body as far as it is wanted."""
        limit = self._runner.limits.receive_time
        until = time.monotonic() + limit if limit else None
        ends = bool(environ.get("wsgi.input_terminated"))
        source, left = environ["wsgi.input"], _length(environ)
        if left is None and not ends and visit.wants_body:
            visit.blame(411, "this server cannot tell where a body without a Content-Length ends")
        try:
            while visit.wants_body:
                data = source.read(_PIECE if left is None else min(_PIECE, left))
                if not data:
                    break
                left = left if left is None else left - len(data)
                visit.feed(data)
                if until is not None and time.monotonic() > until:
                    raise TimeoutError
        except (TimeoutError, BlockingIOError):
            self._runner.late()
            visit.time_out()
        except OSError:
            visit.cut()

    def _work(self, visit: Visit) -> None:
        try:
            self._runner.settle(visit, visit.open())
        except TimeoutError:
            self._runner.late()
            visit.time_out()
        except Exception:  # noqa: BLE001 - one request's failure is not another's
            _log.exception("a request from %s failed", visit.peer)
            visit.fail()


def _length(environ: Environ) -> int | None:
    given = str(environ.get("CONTENT_LENGTH") or "")
    return int(given) if given.isdigit() and len(given) < 19 else None


def _target(environ: Environ) -> bytes:
    """Return the target, its path quoted again: WSGI hands it over as bytes in the guise of Latin-1, unquoted."""
    path = environ.get("PATH_INFO") or "/"
    query = environ.get("QUERY_STRING") or ""
    quoted = quote_from_bytes(path.encode("latin-1", "replace"), safe=_SAFE).encode()
    return quoted + b"?" + query.encode("latin-1", "replace") if query else quoted


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    headers = [
        (name[5:].replace("_", "-").lower(), value)
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
    headers += [
        (name, str(environ[variable]))
        for name, variable in (("content-type", "CONTENT_TYPE"), ("content-length", "CONTENT_LENGTH"))
        if environ.get(variable)
    ]
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]
