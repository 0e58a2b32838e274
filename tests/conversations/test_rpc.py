from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from anycore.conversations.rpc import CallJob, CompressJob, DecodeJob, RpcHandler
from anycore.conversations.site import Limits
from anycore.kernel.call import Mode
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.testing import connect
from anycore.wire import xmlrpc
from anycore.wire.faults import (
    APPLICATION_ERROR,
    DEADLINE_EXCEEDED,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    OVERLOADED,
    PARSE_ERROR,
    RESULT_NOT_ENCODABLE,
    Fault,
)
from anycore.wire.http1 import Response, ResponseParser, encode_request

Begin = Callable[..., Any]


def post(body: bytes | str, content_type: str = "application/json", **headers: str) -> bytes:
    fields = [("Host", "localhost"), ("Content-Type", content_type)]
    fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return encode_request("POST", "/", fields, body.encode() if isinstance(body, str) else body)


def call(method: str, *params: Any, ident: Any = 1) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": ident})


def note(value: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": "kit.note", "params": [value]})


def over_json(talk: Any, method: str, *params: Any) -> Any:
    (response,) = talk.ask(post(call(method, *params)))
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    answer = json.loads(response.body)
    if "error" in answer:
        raise Fault(answer["error"]["code"], answer["error"]["message"], answer["error"].get("data"))
    return answer["result"]


def over_xml(talk: Any, method: str, *params: Any) -> Any:
    (response,) = talk.ask(post(xmlrpc.encode_call(method, params), "text/xml"))
    assert response.status == 200
    assert response.headers["content-type"] == "text/xml"
    return xmlrpc.decode_response(response.body)


both = pytest.mark.parametrize("over", [over_json, over_xml])


@both
def test_a_call_of_each_mode_is_answered(talk: Begin, over: Callable[..., Any]) -> None:
    peer = talk()

    assert over(peer, "kit.add", 1, 2) == 3
    assert over(peer, "kit.echo", {"a": [1, "x", None]}) == {"a": [1, "x", None]}
    assert over(peer, "kit.wait", 5) == 5


@both
def test_faults_reach_the_caller(talk: Begin, over: Callable[..., Any]) -> None:
    with pytest.raises(Fault, match="own fault") as caught:
        over(talk(), "kit.fault", {"a": 1})
    assert caught.value.code == 42
    assert caught.value.data == ({"a": 1} if over is over_json else None)


@pytest.mark.parametrize(
    ("kind", "path"), [("nan", "result.rooms[1].celsius"), ("object", "result.rooms[1].celsius"),
                       ("surrogate", "result.rooms[1].celsius"), ("cycle", "result.rooms[1].celsius")],
)  # fmt: skip
@both
def test_a_result_that_cannot_be_carried_is_a_fault_that_says_where(
    talk: Begin, over: Callable[..., Any], kind: str, path: str
) -> None:
    peer = talk()
    with pytest.raises(Fault) as caught:
        over(peer, "kit.bad", kind)

    assert caught.value.code == RESULT_NOT_ENCODABLE
    assert caught.value.message.startswith(f"kit.bad: {path}")
    wire = "jsonrpc" if over is over_json else "xmlrpc"
    assert peer.conversation.site.incidents.counts() == {f"{wire}-result": 1}


def test_data_of_a_fault_that_cannot_be_carried_does_not_hide_the_fault(talk: Begin) -> None:
    with pytest.raises(Fault) as caught:
        over_json(talk(), "kit.fault", "bad")

    assert caught.value.code == RESULT_NOT_ENCODABLE
    assert caught.value.message.startswith("kit.fault: error.data.bad: ")
    assert caught.value.message.endswith("; the method had failed with: own fault")


class Lazy(Mapping[str, int]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> int:
        raise LookupError(key)

    def __iter__(self) -> Any:
        message = "the session is closed"
        raise ConnectionError(message)

    def __len__(self) -> int:
        return 1


class Far(Plugin):
    @exposed
    def lazy(self) -> Any:
        return {"a": Lazy()}

    @exposed
    def huge_code(self) -> None:
        raise Fault(2**40, "too big")


@both
def test_a_value_that_fails_when_it_is_read_is_a_fault(talk: Begin, kernel: Kernel, over: Callable[..., Any]) -> None:
    kernel.registry.commit([verify(Far(), "test")])
    with pytest.raises(Fault, match=r"^far\.lazy: result") as caught:
        over(talk(), "far.lazy")

    assert caught.value.code == RESULT_NOT_ENCODABLE


def test_a_code_that_xml_rpc_cannot_carry_is_a_fault_that_says_so(talk: Begin, kernel: Kernel) -> None:
    kernel.registry.commit([verify(Far(), "test")])
    with pytest.raises(Fault, match=r"^far\.huge_code: faultCode: .*; the method had failed with: too big"):
        over_xml(talk(), "far.huge_code")


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/json", PARSE_ERROR),
        (b"\xff", "application/json", PARSE_ERROR),
        (b"<methodCall>", "text/xml", PARSE_ERROR),
        (b"<nothing/>", "text/xml", INVALID_REQUEST),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><methodCall/>', "text/xml", None),
    ],
)
def test_a_body_that_is_no_request_is_answered_in_the_form_of_the_wire(
    talk: Begin, body: bytes, content_type: str, code: int | None
) -> None:
    peer = talk()
    (response,) = peer.ask(post(body, content_type))

    assert response.status == 200
    if content_type == "text/xml":
        with pytest.raises(Fault) as caught:
            xmlrpc.decode_response(response.body)
        found = caught.value.code
    else:
        assert json.loads(response.body)["id"] is None
        found = json.loads(response.body)["error"]["code"]
    assert code in (None, found)
    (kind,) = peer.conversation.site.incidents.counts()
    assert kind.endswith("-malformed")


def test_a_batch_is_answered_in_one_array_in_the_order_of_its_calls(talk: Begin) -> None:
    peer = talk()
    parts = [call("kit.add", 1, 2, ident=1), call("kit.echo", "x", ident="two"), note("n"), "5",
             call("kit.wait", 3, ident=3), call("kit.missing", ident=4)]  # fmt: skip
    peer.feed(post(f"[{','.join(parts)}]"))
    assert [job.mode for job in peer.jobs] == [Mode.QUICK, Mode.BLOCKING, Mode.BLOCKING, Mode.ASYNC, Mode.QUICK]
    for job in reversed(list(peer.jobs)):
        assert peer.sent == b""
        peer.run(job)

    answers = json.loads(peer.sent.partition(b"\r\n\r\n")[2])
    assert [answer["id"] for answer in answers] == [1, "two", None, 3, 4]
    assert [answer.get("result") for answer in answers] == [3, "x", None, 3, None]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [INVALID_REQUEST, METHOD_NOT_FOUND]
    assert peer.conversation.site.incidents.counts() == {"jsonrpc-invalid": 1}


@pytest.mark.parametrize("body", [note("n"), f"[{note('n')},{note('n')}]"])
def test_notifications_are_done_and_not_answered(talk: Begin, kit: Any, body: str) -> None:
    (response,) = talk().ask(post(body))

    assert (response.status, response.body) == (204, b"")
    assert set(kit.notes) == {"n"}


def test_parameters_by_name(talk: Begin) -> None:
    (response,) = talk().ask(post('{"jsonrpc":"2.0","method":"kit.add","params":{"b":2,"a":1},"id":1}'))

    assert json.loads(response.body)["result"] == 3


def test_the_1_0_style_on_the_same_path(talk: Begin) -> None:
    (response,) = talk().ask(post('{"method":"kit.add","params":[1,2],"id":7}'))

    assert json.loads(response.body) == {"result": 3, "error": None, "id": 7}


def test_limits_of_batches_and_values(talk: Begin) -> None:
    peer = talk(limits=Limits(batch=2, values=20))
    (response,) = peer.ask(post(f"[{call('kit.add')},{call('kit.add')},{call('kit.add')}]"))
    assert "the limit is 2" in response.body.decode()
    (response,) = peer.ask(post(call("kit.echo", list(range(50)))))
    assert json.loads(response.body)["error"]["code"] in (PARSE_ERROR, INVALID_REQUEST)
    (response,) = peer.ask(post(xmlrpc.encode_call("kit.echo", [list(range(50))]), "text/xml"))
    with pytest.raises(Fault):
        xmlrpc.decode_response(response.body)


def test_a_large_body_is_decoded_in_a_worker(talk: Begin) -> None:
    peer = talk(limits=Limits(compress_above=10**9))
    text = "x" * 100_000
    peer.feed(post(call("kit.echo", text)))
    (decoding,) = peer.jobs
    assert isinstance(decoding, DecodeJob)
    assert decoding.mode is Mode.BLOCKING
    peer.run()
    (calling,) = peer.jobs
    assert isinstance(calling, CallJob)
    peer.run()
    assert text.encode() in peer.sent


@pytest.mark.parametrize("body", ["{" + " " * 100_000, "[" + "1," * 40_000 + "1]"])
def test_a_large_body_that_is_no_request_is_answered_too(talk: Begin, body: str) -> None:
    (response,) = talk(limits=Limits(batch=3)).ask(post(body))

    assert response.status == 200
    assert b'"error"' in response.body


@pytest.mark.parametrize(
    ("coding", "coded"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("x-gzip", gzip.compress), ("identity", bytes)],
)
@pytest.mark.parametrize("large", [False, True])
def test_requests_may_be_compressed(talk: Begin, coding: str, coded: Callable[[bytes], bytes], large: bool) -> None:
    value = "ab" * (50_000 if large else 5)
    body = coded(call("kit.echo", value).encode())
    (response,) = talk(limits=Limits(compress_above=10**9)).ask(post(body, Content_Encoding=coding))

    assert json.loads(response.body)["result"] == value


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(b" " * 2_000_000), 413),
        ("deflate", zlib.compress(b" " * 2_000_000), 413),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"{}")[:-5], 400),
        ("br", b"x", 415),
        ("gzip, gzip, gzip, gzip", b"x", 415),
    ],
)
def test_bombs_and_damaged_bodies_are_refused(talk: Begin, coding: str, body: bytes, status: int) -> None:
    peer = talk(limits=Limits(body=1_000_000))
    (response,) = peer.ask(post(body, Content_Encoding=coding))

    assert response.status == status
    assert response.keep_alive
    assert ("accept-encoding" in response.headers) == (status == 415)
    assert peer.conversation.site.incidents.counts() == {"jsonrpc-malformed": 1}
    assert over_json(peer, "kit.add", 1, 2) == 3


@pytest.mark.parametrize(
    ("accepted", "coding", "decoded"),
    [("gzip", "gzip", gzip.decompress), ("deflate;q=1, gzip;q=0.5", "deflate", zlib.decompress)],
)
@pytest.mark.parametrize("size", [2_000, 200_000])
def test_responses_are_compressed_for_peers_that_take_it(
    talk: Begin, accepted: str, coding: str, decoded: Callable[[bytes], bytes], size: int
) -> None:
    (response,) = talk().ask(post(call("kit.echo", "x" * size), Accept_Encoding=accepted))

    assert response.headers["content-encoding"] == coding
    assert response.headers["vary"] == "Accept-Encoding"
    assert json.loads(decoded(response.body))["result"] == "x" * size


@pytest.mark.parametrize(("accepted", "size"), [("", 2_000), ("br", 2_000), ("gzip;q=0", 2_000), ("gzip", 100)])
def test_other_responses_are_sent_as_they_are(talk: Begin, accepted: str, size: int) -> None:
    headers = {"Accept_Encoding": accepted} if accepted else {}
    (response,) = talk().ask(post(call("kit.echo", "x" * size), **headers))

    assert "content-encoding" not in response.headers


def test_large_responses_are_compressed_in_a_worker_and_sent_plain_when_there_is_none(talk: Begin) -> None:
    peer = talk()
    peer.feed(post(call("kit.echo", "x" * 60_000), Accept_Encoding="gzip"))
    peer.run()
    assert isinstance(peer.jobs[0], CompressJob)
    assert [job.mode for job in peer.jobs] == [Mode.QUICK]
    peer.run()
    peer.sent = b""
    peer.feed(post(call("kit.echo", "x" * 70_000), Accept_Encoding="gzip"))
    peer.run()
    peer.run()
    assert [job.mode for job in peer.jobs] == [Mode.BLOCKING]
    peer.refuse()

    assert b"Content-Encoding" not in peer.sent
    assert b"x" * 70_000 in peer.sent


def refused(talk: Any, *requests: bytes) -> Response:
    talk.feed(b"".join(requests))
    while talk.jobs:
        talk.refuse()
    parser = ResponseParser()
    parser.expect("POST")
    (response,) = parser.feed(talk.sent)
    return response


@pytest.mark.parametrize("params", [[1], ["x" * 100_000]])
def test_an_overloaded_server_says_503_and_when_to_try_again(talk: Begin, params: list[Any]) -> None:
    response = refused(talk(), post(call("kit.echo", *params)))

    assert response.status == 503
    assert response.headers["retry-after"] == "1"
    assert b"the server is busy" in response.body


def test_the_wires_say_so_in_their_own_way(talk: Begin) -> None:
    json_answer = refused(talk(), post(call("kit.echo", 1)))
    xml_answer = refused(talk(), post(xmlrpc.encode_call("kit.echo", [1]), "text/xml"))

    assert json.loads(json_answer.body)["error"] == {"code": OVERLOADED, "message": "the server is busy"}
    with pytest.raises(Fault, match="the server is busy") as caught:
        xmlrpc.decode_response(xml_answer.body)
    assert caught.value.code == OVERLOADED
    assert xml_answer.status == 503


def test_a_refused_notification_is_told_by_the_status_alone(talk: Begin) -> None:
    response = refused(talk(), post(note(1)))

    assert (response.status, response.body) == (503, b"")
    assert response.headers["retry-after"] == "1"


def test_a_batch_of_which_something_was_done_must_not_be_sent_again(talk: Begin) -> None:
    peer = talk()
    peer.feed(post(f"[{call('kit.note', 1, ident=1)},{call('kit.note', 2, ident=2)}]"))
    peer.run()
    peer.refuse()

    assert peer.sent.startswith(b"HTTP/1.1 200 ")
    assert b"Retry-After" not in peer.sent
    answers = json.loads(peer.sent.partition(b"\r\n\r\n")[2])
    assert [answer.get("result") for answer in answers] == [1, None]
    assert answers[1]["error"]["code"] == OVERLOADED


def test_a_method_that_becomes_async_while_its_call_waits_is_called_all_the_same(talk: Begin, kernel: Kernel) -> None:
    class Kit(Plugin):
        name = "kit"

        @exposed
        async def echo(self, value: str) -> str:
            return f"new {value}"

    peer = talk()
    peer.feed(post(call("kit.echo", "x")))
    kernel.registry.commit([verify(Kit(), "test")], without=["kit"])
    assert [job.mode for job in peer.jobs] == [Mode.BLOCKING]
    peer.run()
    assert peer.sent == b""
    assert [job.mode for job in peer.jobs] == [Mode.ASYNC]
    peer.run()

    assert b'"result":"new x"' in peer.sent


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/xml; charset=iso-8859-1", "iso-8859-1"),
        ('text/xml; Charset="ISO-8859-1"', "iso-8859-1"),
        ("text/xml ;CHARSET=utf-16", "utf-16"),
        ("text/xml; boundary=x; charset='utf-8'", "utf-8"),
        ("text/xml; mycharset=utf-16", "utf-8"),
        ("text/xml", "utf-8"),
    ],
)
def test_the_charset_of_the_content_type_counts(talk: Begin, content_type: str, encoding: str) -> None:
    body = "<methodCall><methodName>kit.echo</methodName><params><param><value>é</value></param></params></methodCall>"
    (response,) = talk().ask(post(body.encode(encoding), content_type))

    assert xmlrpc.decode_response(response.body) == "é"


@pytest.mark.parametrize(
    ("header", "limit", "seconds"),
    [
        (None, 60.0, 60.0),
        ("5", 60.0, 5.0),
        ("0.5", 60.0, 0.5),
        ("500", 60.0, 60.0),
        ("5", 0.0, 5.0),
        (None, 0.0, None),
        ("soon", 60.0, 60.0),
        ("", 60.0, 60.0),
        ("-1", 60.0, 60.0),
        ("0", 60.0, 60.0),
        ("nan", 60.0, 60.0),
        ("inf", 60.0, 60.0),
        ("inf", 0.0, None),
        ("1e300", 0.0, None),
    ],
)
def test_the_deadline_is_the_servers_or_an_earlier_one_of_the_peer(
    header: str | None, limit: float, seconds: float | None
) -> None:
    handler = RpcHandler(Kernel(), Limits(call_time=limit), Incidents())
    now = time.monotonic()
    deadline = handler.deadline(header)

    assert deadline is None if seconds is None else deadline == pytest.approx(now + seconds, abs=0.1)


def test_a_call_that_waited_beyond_the_time_of_its_peer_is_not_made(talk: Begin, kit: Any) -> None:
    (response,) = talk().ask(post(call("kit.note", 1), Request_Timeout="0.000000001"))

    assert json.loads(response.body)["error"]["code"] == DEADLINE_EXCEEDED
    assert kit.notes == []


def test_an_exception_of_a_method_is_an_application_error(talk: Begin) -> None:
    with pytest.raises(Fault) as caught:
        over_json(talk(), "kit.bad", "no such kind")
    assert (caught.value.code, caught.value.message) == (APPLICATION_ERROR, "kit.bad: KeyError: 'no such kind'")


@pytest.mark.parametrize("wire", ["xmlrpc", "jsonrpc"])
def test_one_result_of_a_multicall_that_cannot_be_carried_leaves_the_others_alone(wire: str) -> None:
    class Odd(Plugin):
        @exposed
        def good(self) -> int:
            return 1

        @exposed
        def bad(self) -> Any:
            return {"deep": [float("nan")]}

    with connect(Odd, wire=wire) as client:
        calls: list[dict[str, Any]] = [
            {"methodName": name, "params": []} for name in ("odd.good", "odd.bad", "odd.good")
        ]
        first, second, third = client.call("system.multicall", calls)
        assert first == third == [1]
        assert second["faultCode"] == RESULT_NOT_ENCODABLE
        assert "deep[0]" in second["faultString"]


def test_a_request_that_its_sender_names_has_that_name_in_the_answer_and_in_every_call(talk: Begin) -> None:
    peer = talk()
    seen: list[str] = []
    kernel = peer.conversation.site.handler.kernel
    kernel.observers = (lambda call, _outcome, _ns: seen.append(call.id),)
    for body, name in ((call("kit.add", 1, 2), "trace-7"), (f"[{call('kit.add', 1, 2)},{call('kit.echo', 1)}]", "t/8")):
        (response,) = peer.ask(post(body, X_Request_Id=name))
        assert response.headers["x-request-id"] == name
    assert seen == ["trace-7", "t/8", "t/8"]


@pytest.mark.parametrize("name", ["two words", "x" * 129, "caf\xe9"])
def test_a_name_that_could_not_be_logged_is_not_taken(talk: Begin, name: str) -> None:
    (response,) = talk().ask(post(call("kit.add", 1, 2), X_Request_Id=name))
    assert response.status == 200
    assert "x-request-id" not in response.headers
