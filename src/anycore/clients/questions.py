"""What is asked over each wire, and how its reply is read. No HTTP and no connection lives here."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anycore.wire import jsonrpc, xmlrpc
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import INVALID_REQUEST, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Default = Callable[[Any], Any]

BatchCall: TypeAlias = "tuple[str] | tuple[str, Sequence[Any]] | tuple[str, Sequence[Any], Mapping[str, Any]]"


class Question(ABC):
    """One request of the wire, ready to be sent.

    Args:
        body: The request.
    """

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    @abstractmethod
    def read(self, body: bytes, charset: str | None) -> Any:
        """Return what the reply says.

        Args:
            body: The reply.
            charset: The one that the Content-Type names, or None.

        Raises:
            Fault: The server's answer is a fault.
            RemoteProtocolError: It is no answer to this question.
        """


class Wire(ABC):
    """How calls look on one wire.

    Args:
        default: Converts values of types that the wire does not know, or None.
    """

    title: str
    content_type: str

    def __init__(self, default: Default | None = None) -> None:
        self._default = default

    @abstractmethod
    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Question:
        """Return a call. Raises LocalProtocolError when the wire cannot carry it, as do the other two."""

    @abstractmethod
    def notify(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Question:
        """Return a call that wants no answer."""

    @abstractmethod
    def batch(self, calls: Sequence[BatchCall]) -> Question:
        """Return several calls at once, at least one; the reply is a list with a value or a Fault for each."""


def _parts(call: BatchCall) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
    return call[0], call[1] if len(call) > 1 else (), call[2] if len(call) > 2 else {}


# XML-RPC


class XmlRpcWire(Wire):
    """XML-RPC; a batch is a call of system.multicall."""

    title = "XML-RPC"
    content_type = "text/xml"

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Question:
        """Return a call; named arguments are refused."""
        _refuse_names(name, kwargs)
        return _XmlCall(xmlrpc.encode_call(name, args, default=self._default))

    def notify(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Question:  # noqa: ARG002
        """Refuse: XML-RPC has nothing of the kind."""
        cure = "use call(), or connect to a jsonrpc+http:// URL"
        raise LocalProtocolError(f"XML-RPC has no notifications, every call is answered; {cure}", name)

    def batch(self, calls: Sequence[BatchCall]) -> Question:
        """Return a call of system.multicall."""
        described = []
        for name, args, kwargs in map(_parts, calls):
            _refuse_names(name, kwargs)
            described.append({"methodName": name, "params": list(args)})
        return _XmlBatch(xmlrpc.encode_call("system.multicall", [described], default=self._default), len(described))


def _refuse_names(name: str, kwargs: Mapping[str, Any]) -> None:
    if kwargs:
        cure = "pass them by position, or connect to a jsonrpc+http:// URL"
        raise LocalProtocolError(f"XML-RPC has no named arguments ({', '.join(kwargs)}); {cure}", name)


class _XmlCall(Question):
    __slots__ = ()

    def read(self, body: bytes, charset: str | None) -> Any:
        return xmlrpc.decode_response(body, charset=charset)


class _XmlBatch(_XmlCall):
    __slots__ = ("_count",)

    def __init__(self, body: bytes, count: int) -> None:
        super().__init__(body)
        self._count = count

    def read(self, body: bytes, charset: str | None) -> Any:
        answers = super().read(body, charset)
        if not isinstance(answers, list) or len(answers) != self._count:
            message = f"system.multicall must answer with an array of {self._count} values"
            raise RemoteProtocolError(message, INVALID_REQUEST)
        return [_one_of_many(answer) for answer in answers]


def _one_of_many(answer: Any) -> Any:
    """A value comes as an array of one, so that nobody takes a struct for a fault."""
    if isinstance(answer, list) and len(answer) == 1:
        return answer[0]
    if isinstance(answer, dict) and isinstance(answer.get("faultCode"), int):
        return Fault(answer["faultCode"], str(answer.get("faultString", "")))
    message = "system.multicall must answer each call with an array of one value or a fault"
    raise RemoteProtocolError(message, INVALID_REQUEST)


# JSON-RPC


class JsonRpcWire(Wire):
    """JSON-RPC 2.0; ids count up from 1."""

    title = "JSON-RPC"
    content_type = "application/json"

    def __init__(self, default: Default | None = None) -> None:
        super().__init__(default)
        self._ids = itertools.count(1)

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Question:
        """Return a call with its arguments by position or by name."""
        ident = next(self._ids)
        body = jsonrpc.encode_request(ident, name, _params(name, args, kwargs), default=self._default)
        return _JsonCall(body, ident)

    def notify(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Question:
        """Return a notification."""
        return _JsonNotification(jsonrpc.encode_notification(name, _params(name, args, kwargs), default=self._default))

    def batch(self, calls: Sequence[BatchCall]) -> Question:
        """Return a batch."""
        questions = [self.call(name, args, kwargs) for name, args, kwargs in map(_parts, calls)]
        body = jsonrpc.encode_batch([question.body for question in questions])
        return _JsonBatch(body, [question.ident for question in questions if isinstance(question, _JsonCall)])


def _params(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
    if args and kwargs:
        message = "JSON-RPC takes arguments by position or by name, not both in one call; name them all"
        raise LocalProtocolError(message, name)
    return dict(kwargs) if kwargs else args


class _JsonCall(Question):
    __slots__ = ("ident",)

    def __init__(self, body: bytes, ident: int) -> None:
        super().__init__(body)
        self.ident: Final = ident

    def read(self, body: bytes, charset: str | None) -> Any:  # noqa: ARG002 - JSON is UTF-8
        batch, answers = jsonrpc.decode_response(body)
        answer = answers[0] if len(answers) == 1 and not batch else None
        if answer is None or (answer.id != self.ident and not (answer.id is None and answer.fault is not None)):
            raise RemoteProtocolError(f"the server did not answer the call with the id {self.ident}", INVALID_REQUEST)
        if answer.fault is not None:
            raise answer.fault
        return answer.value


class _JsonNotification(Question):
    __slots__ = ()

    def read(self, body: bytes, charset: str | None) -> Any:  # noqa: ARG002
        for answer in jsonrpc.decode_response(body)[1] if body.strip() else ():
            if answer.fault is not None:  # no answer is due, but a server that cannot read the request says so
                raise answer.fault


class _JsonBatch(Question):
    __slots__ = ("_idents",)

    def __init__(self, body: bytes, idents: list[int]) -> None:
        super().__init__(body)
        self._idents = idents

    def read(self, body: bytes, charset: str | None) -> Any:  # noqa: ARG002
        batch, answers = jsonrpc.decode_response(body)
        if not batch and answers[0].fault is not None:
            raise answers[0].fault
        found = {answer.id: answer for answer in answers}
        missing = [ident for ident in self._idents if ident not in found]
        if missing:
            message = f"the server left {len(missing)} of {len(self._idents)} calls of the batch without an answer"
            raise RemoteProtocolError(message, INVALID_REQUEST)
        chosen = [found[ident] for ident in self._idents]
        return [answer.value if answer.fault is None else answer.fault for answer in chosen]
