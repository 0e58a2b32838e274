"""Remote calls over HTTP: a POST becomes calls, their outcomes become one body. Each wire says how, as an `HttpWire`."""

from __future__ import annotations

import abc
import logging
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import FAILED, NO_JOBS, Job
from anycore.conversations.exchange import RETRY, Exchange, ExchangeJob, Headers
from anycore.conversations.identifying import IdentifyJob, identify, refuse
from anycore.kernel.authentication import presents_nothing
from anycore.kernel.call import Call, Mode, Outcome, Several
from anycore.kernel.kernel import AsyncMethodError
from anycore.wire.coding import choose, deflate, inflate
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import INTERNAL_ERROR, OVERLOADED, RESULT_NOT_ENCODABLE, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.conversations.site import Limits
    from anycore.kernel.authentication import AuthenticationFault
    from anycore.kernel.incidents import Incidents
    from anycore.kernel.kernel import Kernel

_log = logging.getLogger("anycore.conversations")
_LONGEST: Final = 10.0**9  # seconds; a peer may write any number, and clocks do not take every one
REQUEST_ID: Final = "X-Request-Id"
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_INLINE_BYTES: Final = 64 * 1024
"""Bodies above this size are decoded and compressed in a worker thread, so that the event loop goes on."""


class HttpWire(abc.ABC):
    """How one wire speaks over HTTP POST.

    Attributes:
        wire: The wire's name, as calls and logs carry it.
        content_type: The media type of its responses.
        headers: The headers of its responses, made of it.
    """

    wire: str
    content_type: str
    headers: Headers

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.headers = (("Content-Type", cls.content_type),)

    @abc.abstractmethod
    def decode(self, body: bytes, charset: str | None) -> tuple[list[tuple[str, Any, Any]], bool]:
        """Decode a request.

        Args:
            body: The body, without content coding.
            charset: The charset parameter of its media type, or None.

        Returns:
            A `(method, params, tag)` for each call, with a list or dict of params; and whether they came as a batch. The tag comes back
            to `encode`. A `Fault` in place of the params stands for an entry that is no call.

        Raises:
            RemoteProtocolError: When the body is no request at all.
        """

    @abc.abstractmethod
    def encode(self, outcome: Outcome, tag: Any) -> bytes | None:
        """Encode one outcome; None when the peer wants no answer to that call.

        Raises:
            LocalProtocolError: When the wire cannot carry the value.
        """

    def join(self, pieces: list[bytes | None]) -> bytes:
        """Put the encoded outcomes of a batch together, on a wire that has batches; empty when the peer wants no answer at all."""
        return b"".join(piece for piece in pieces if piece is not None)

    @abc.abstractmethod
    def malformed(self, error: RemoteProtocolError) -> bytes:
        """Encode the answer to a body that is no request."""


class RpcExchange(Exchange):
    """A POST that carries calls."""

    __slots__ = ("batch", "charset", "fields", "form", "handler", "missing", "pieces", "served")

    form: HttpWire
    charset: str | None
    handler: RpcHandler
    pieces: list[bytes | None]
    batch: bool
    missing: int
    served: bool
    fields: Headers  # what the calls have to send besides their outcomes

    def open(self, body: bytes) -> Sequence[Job]:
        """Decode the request and return a job for each call.

        Args:
            body: The body, without content coding.
        """
        form, handler = self.form, self.handler
        try:
            entries, self.batch = form.decode(body, self.charset)
        except RemoteProtocolError as error:
            return self.malformed(error) if self.refusal is None else self.refused_unread(self.refusal)
        if self.refusal is not None:
            return self._refused(entries, self.refusal)
        assert self.request is not None
        headers = self.request.headers
        deadline = handler.deadline(headers.get("request-timeout"))
        self.fields = named = _request_id(headers["x-request-id"]) if "x-request-id" in headers else ()
        if not self.batch:
            name, params, tag = entries[0]
            if type(params) is list:
                self.pieces, self.missing, self.served = [None], 1, False
                call = Call(name, params, None, self.peer, form.wire, deadline, self.credentials, self.identity)
                if named:
                    call.request_id = named[0][1]
                return (CallJob(self, 0, call, tag, handler.kernel),)
        return self._several(entries, deadline)

    def _several(self, entries: list[tuple[str, Any, Any]], deadline: float | None) -> Sequence[Job]:
        wire, peer, kernel = self.form.wire, self.peer, self.handler.kernel
        jobs: list[Job] = []
        self.pieces = [None] * len(entries)
        for index, (name, params, tag) in enumerate(entries):
            if isinstance(params, Fault):
                self.pieces[index] = self.form.encode(Outcome(fault=params), tag)
                self.handler.incidents.note(peer, f"{wire}-invalid", params.message)
                continue
            args, kwargs = ((), params) if isinstance(params, dict) else (params, None)
            call = Call(name, args, kwargs, peer, wire, deadline, self.credentials, self.identity)
            if self.fields:
                call.request_id = self.fields[0][1]
            jobs.append(CallJob(self, index, call, tag, kernel))
        self.missing = len(jobs)
        self.served = not jobs
        return jobs or self.complete()

    def _refused(self, entries: list[tuple[str, Any, Any]], fault: AuthenticationFault) -> Sequence[Job]:
        """Answer every call with the fault, as nobody knows who makes them."""
        pieces = [self.form.encode(Outcome(fault=fault), tag) for _, _, tag in entries]
        body = self.form.join(pieces) if self.batch else pieces[0] or b""
        refuse(self, fault, self.handler.kernel.authentication, body, self.form.content_type)
        return NO_JOBS

    def refused_unread(self, fault: AuthenticationFault) -> Sequence[Job]:
        """Answer a body that is not read, as it is large and nobody knows who sent it."""
        body = self.form.malformed(RemoteProtocolError(fault.message, fault.code))
        refuse(self, fault, self.handler.kernel.authentication, body, self.form.content_type)
        return NO_JOBS

    def malformed(self, error: RemoteProtocolError) -> Sequence[Job]:
        """Answer a body that is no request."""
        self.handler.incidents.note(self.peer, f"{self.form.wire}-malformed", error.message)
        if 400 <= error.code < 500:
            # RFC 9110 section 12.5.3: with 415, the field says that it was the coding, and which are taken.
            headers = (("Accept-Encoding", "gzip, deflate"),) if error.code == 415 else ()
            self.reply(error.code, f"{error.message}\n", headers=headers)
        else:
            self.reply(200, self.form.malformed(error), self.form.content_type)
        return NO_JOBS

    def complete(self) -> Sequence[Job]:
        """Make the response out of the pieces; return the work of compressing it where that is worth a thread.

        It is a 503 (RFC 9110 section 15.6.4) only if every call was refused: a peer may send the whole request again.
        """
        body = self.form.join(self.pieces) if self.batch else self.pieces[0] or b""
        if not self.served:
            self.reply(503, body, self.form.content_type, RETRY)
        elif body:
            self.status, self.body, self.headers = 200, body, self.form.headers
        if self.fields or self.greeting:
            self.headers = (*self.headers, *self.fields, *self.greeting)
        return NO_JOBS if len(body) < self.handler.limits.compress_above else self.handler.compress(self)


def _request_id(given: str) -> Headers:
    """Return the field by which the answer names the request as its sender does, if that is a name that can be logged."""
    return ((REQUEST_ID, given),) if _REQUEST_ID.fullmatch(given) else ()


class DecodeJob(ExchangeJob):
    """Decodes a body too large to be decoded between two reads."""

    __slots__ = ("jobs",)

    exchange: RpcExchange

    def __init__(self, exchange: RpcExchange) -> None:
        super().__init__(exchange)
        self.mode = Mode.BLOCKING
        self.jobs: Sequence[Job] = NO_JOBS

    def run(self) -> None:
        """Decode the body."""
        exchange = self.exchange
        try:
            body = exchange.handler.inflated(exchange)
        except RemoteProtocolError as error:
            self.jobs = exchange.malformed(error)
        else:
            self.jobs = exchange.open(body)

    def settle(self) -> Sequence[Job]:
        """Hand out the calls that were in the body."""
        return self.jobs


class CallJob(ExchangeJob):
    """Takes one call through the kernel and encodes its outcome."""

    __slots__ = ("again", "call", "index", "kernel", "piece", "refused", "tag")

    exchange: RpcExchange

    def __init__(self, exchange: RpcExchange, index: int, call: Call, tag: Any, kernel: Kernel) -> None:
        self.exchange = exchange
        self.mode = kernel.mode(call)
        self.index = index
        self.call = call
        self.tag = tag
        self.kernel = kernel
        self.piece: bytes | None = None
        self.again = self.refused = False

    def run(self) -> None:
        """Make the call in this thread."""
        try:
            self.encode(self.kernel.handle(self.call))
        except AsyncMethodError:
            self.again = True  # its plugin was swapped while the job waited

    async def run_async(self) -> None:
        """Make the call on the running loop."""
        self.encode(await self.kernel.handle_async(self.call))

    def refuse(self, reason: str) -> None:
        """Answer that the server is at a limit."""
        self.refused = True
        self.encode(Outcome(fault=Fault(OVERLOADED, reason)))

    def fail(self) -> None:
        """Answer that the server failed."""
        self.encode(Outcome(fault=Fault(INTERNAL_ERROR, f"{self.call.name}: {FAILED}")))

    def encode(self, outcome: Outcome) -> None:
        """Encode an outcome; a value that the wire cannot carry becomes a fault that says where it is."""
        form = self.exchange.form
        try:
            self.piece = form.encode(outcome, self.tag)
        except Exception as error:  # noqa: BLE001 - to read a value may run its own code
            fault = self._unencodable(outcome, error)
            several = isinstance(outcome.value, Several) and self._each(outcome.value)
            self.piece = form.encode(Outcome(several) if several else Outcome(fault=fault), self.tag)

    def _each(self, values: Several) -> Several:
        """Return values that stand alone, with a fault in the place of each that cannot be carried."""
        form, kept = self.exchange.form, Several()
        for value in values:
            try:
                form.encode(Outcome(value), self.tag)
                kept.append(value)
            except Exception as error:  # noqa: BLE001 - to read a value may run its own code
                fault = self._unencodable(Outcome(value), error)
                kept.append({"faultCode": fault.code, "faultString": fault.message})
        return kept

    def _unencodable(self, outcome: Outcome, error: Exception) -> Fault:
        if isinstance(error, LocalProtocolError):
            message = f"{self.call.name}: {error}"
        else:
            _log.error("call %s: the result of %s cannot be read", self.call.id, self.call.name, exc_info=error)
            message = f"{self.call.name}: result: reading it raised {type(error).__name__}; return built-in types"
        if outcome.fault is not None:
            message = f"{message}; the method had failed with: {outcome.fault.message}"
        self.exchange.handler.incidents.note(self.call.peer, f"{self.exchange.form.wire}-result", message)
        return Fault(RESULT_NOT_ENCODABLE, message)

    def settle(self) -> Sequence[Job]:
        """Enter the piece; the last one completes the response."""
        exchange = self.exchange
        if self.again:
            return (CallJob(exchange, self.index, self.call, self.tag, self.kernel),)
        exchange.pieces[self.index] = self.piece
        exchange.served = exchange.served or not self.refused
        exchange.missing -= 1
        if self.call.reply_headers:
            exchange.fields += self.call.reply_headers
            exchange.greeting = ()  # a method that says what the sender gets has the last word
        return NO_JOBS if exchange.missing else exchange.complete()


class CompressJob(ExchangeJob):
    """Compresses a response body."""

    __slots__ = ("coding",)

    def __init__(self, exchange: Exchange, coding: str) -> None:
        super().__init__(exchange)
        self.mode = Mode.BLOCKING if len(exchange.body) > _INLINE_BYTES else Mode.QUICK
        self.coding = coding

    def run(self) -> None:
        """Compress the body."""
        exchange = self.exchange
        exchange.body = deflate(exchange.body, self.coding)
        exchange.headers = (*exchange.headers, ("Content-Encoding", self.coding), ("Vary", "Accept-Encoding"))

    def settle(self) -> Sequence[Job]:
        """Nothing follows."""
        return NO_JOBS

    def refuse(self, reason: str) -> None:
        """Leave the body as it is: the answer is worth more than its size."""

    def fail(self) -> None:
        """Leave the body as it is."""


class RpcHandler:
    """Answers POSTs that carry calls.

    Args:
        kernel: Where calls go.
        limits: The site's limits.
        incidents: Where bad input is counted.
    """

    def __init__(self, kernel: Kernel, limits: Limits, incidents: Incidents) -> None:
        self.kernel = kernel
        self.limits = limits
        self.incidents = incidents

    def open(self, exchange: RpcExchange, form: HttpWire, charset: str | None) -> Sequence[Job]:
        """Begin the answer; see `Site.open`."""
        exchange.form, exchange.charset, exchange.handler = form, charset, self
        chain = self.kernel.authentication
        if chain is not None:
            if chain.nobody is not None and presents_nothing(exchange.peer, exchange.credentials):
                exchange.identity = chain.nobody
            elif not chain.quick(exchange.peer, exchange.credentials):
                return (IdentifyJob(exchange, chain, partial(self.proceed, exchange)),)
            else:
                identify(exchange, chain)
        return self.proceed(exchange)

    def proceed(self, exchange: RpcExchange) -> Sequence[Job]:
        """Read the body of a request, whose sender is known now or refused."""
        request = exchange.request
        assert request is not None
        if len(request.body) <= _INLINE_BYTES and "content-encoding" not in request.headers:
            return exchange.open(request.body)
        return (DecodeJob(exchange),) if exchange.refusal is None else exchange.refused_unread(exchange.refusal)

    def inflated(self, exchange: RpcExchange) -> bytes:
        """Return the body of a request without its content coding.

        Raises:
            RemoteProtocolError: The coding is unknown or broken, or the body is too large without it.
        """
        request = exchange.request
        assert request is not None
        coding = request.headers.get("content-encoding")
        return request.body if coding is None else inflate(request.body, coding, self.limits.body)

    def deadline(self, header: str | None) -> float | None:
        """Return when a call's time is over: the server's limit, or what the peer asks for if that is shorter.

        Args:
            header: The value of `Request-Timeout`, in seconds, or None.
        """
        seconds = self.limits.call_time
        if header is not None:
            try:
                asked = float(header)
            except ValueError:
                asked = seconds
            if 0 < asked < _LONGEST:
                seconds = min(seconds, asked) if seconds else asked
        return time.monotonic() + seconds if seconds else None

    def compress(self, exchange: RpcExchange) -> Sequence[Job]:
        """Return the job that compresses a response, if the peer takes it and it is worth it."""
        request = exchange.request
        assert request is not None
        accepted = request.headers.get("accept-encoding")
        coding = choose(accepted) if accepted else None
        return (CompressJob(exchange, coding),) if coding else NO_JOBS
