"""The RPyC conversation: order, turns, bad input, and a fuzz of whole conversations."""

from __future__ import annotations

import asyncio
import functools
import random
import struct
import threading
import tracemalloc
from collections import deque
from typing import Any

import pytest

from anycore.conversations.base import Phase
from anycore.conversations.rpyc import RpycConversation
from anycore.conversations.rpyc_jobs import RequestJob, RpycJob
from anycore.kernel.call import Mode, Peer
from anycore.kernel.incidents import Incidents
from anycore.objects.connection import Connection
from anycore.objects.extensions import ANSWER, CANCEL, QUESTION
from anycore.objects.link import Link
from anycore.objects.result import AsyncResult
from anycore.wire import brine
from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc import FrameDecoder, Message, MessageCodec, encode_frame

ALL = {"allow_all_attrs": True, "allow_setattr": True, "allow_delattr": True}


class Root:
    """What is served."""

    def __init__(self) -> None:
        self.numbers = [1, 2, 3]
        self.size = 1

    def __hash__(self) -> int:
        return 99

    def add(self, a: Any, b: Any = 1) -> Any:
        return a + b

    def echo(self, value: Any) -> Any:
        return value

    def call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def fail(self) -> None:
        raise LookupError("no such thing")


class MemoryLink(Link):
    """Carries bytes within the process, in the calling thread; keeps what was sent."""

    def __init__(self, conversation: RpycConversation) -> None:
        self.conversation = conversation
        self.sent: list[bytes] = []
        self.inbox: deque[bytes] = deque()
        self.other: MemoryLink | None = None
        self.closed = 0
        self.run(list(conversation.begin(self)))

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        if self.other is not None and not self.other.closed:
            self.other.inbox.append(data)

    def step(self) -> bool:
        if not self.inbox:
            return False
        self.run(list(self.conversation.feed(self.inbox.popleft())))
        return True

    def run(self, jobs: list[RpycJob]) -> None:
        while jobs:
            job = jobs.pop(0)
            job.run()
            jobs += self.conversation.finish(job)
            data = self.conversation.take()
            if data and not self.closed:
                self.send(data)

    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        inside = self.conversation.inside
        if inside:
            self.run(list(self.conversation.suspend()))
        try:
            while not result.settled and self.other is not None and (self.other.step() or self.step()):
                pass
        finally:
            if inside:
                self.conversation.resume()

    def close(self) -> None:
        data = self.conversation.take()
        if data and not self.closed:
            self.send(data)
        self.closed += 1


def make(root: Any = None, config: dict[str, Any] | None = None, **options: Any) -> tuple[RpycConversation, MemoryLink]:
    conversation = RpycConversation(Peer(), Connection(root, config), **options)
    return conversation, MemoryLink(conversation)


def serve(
    root: Any = None, config: dict[str, Any] | None = None, **options: Any
) -> tuple[RpycConversation, MemoryLink, Incidents]:
    incidents = Incidents()
    conversation, link = make(root if root is not None else Root(), config or ALL, incidents=incidents, **options)
    return conversation, link, incidents


def answers(link: MemoryLink) -> list[Message]:
    decoder, codec = FrameDecoder(), MessageCodec(6, bind_threads=False)
    found = [codec.decode(payload) for payload in decoder.feed(b"".join(link.sent))]
    assert decoder.error is None and not decoder.mid_frame
    return found


def request(seq: int, handler: Any, *boxed: Any) -> bytes:
    return MessageCodec(6, bind_threads=False).encode_request(seq, handler, (wire.TUPLE, boxed))


def test_requests_are_done_in_order_and_one_at_a_time() -> None:
    conversation, link, _ = serve()
    first, *others = conversation.feed(b"".join(request(seq, wire.PING, (1, seq)) for seq in range(5)))
    assert not others
    assert conversation.phase is Phase.WORKING
    link.run([first])
    assert [(m.kind, m.seq, m.args) for m in answers(link)] == [(2, seq, (1, seq)) for seq in range(5)]
    assert conversation.phase.value == "idle"


def test_requests_run_at_once_where_that_is_asked_for() -> None:
    conversation, _link, _ = serve(concurrency=3)
    jobs = conversation.feed(b"".join(request(seq, wire.PING, (1, seq)) for seq in range(5)))
    assert len(jobs) == 3
    assert len(conversation.finish(jobs[0])) == 1
    assert len(conversation.suspend()) == 1


def test_bytes_may_come_one_by_one_and_two_messages_at_once() -> None:
    stream = b"".join(request(seq, wire.PING, (1, seq)) for seq in range(3))
    for size in (1, 2, 7, len(stream)):
        conversation, link, _ = serve()
        for start in range(0, len(stream), size):
            link.run(list(conversation.feed(stream[start : start + size])))
        assert [m.args for m in answers(link)] == [(1, seq) for seq in range(3)]


def test_reading_pauses_when_too_much_waits() -> None:
    conversation, link, _ = serve(max_queue=3)
    jobs = conversation.feed(b"".join(request(seq, wire.PING, (1, seq)) for seq in range(10)))
    assert not conversation.wants_input
    link.run(list(jobs))
    assert conversation.wants_input


@pytest.mark.parametrize("dialect", [5, 6])
@pytest.mark.parametrize("bound", [False, True])
def test_every_dialect_is_answered_in_kind(dialect: int, bound: bool) -> None:
    codec = MessageCodec(dialect, bound)
    threads = (7777, 0) if bound else ()
    conversation, link, _ = serve()
    link.run(list(conversation.feed(codec.encode_request(0, wire.PING, (2, ((1, "x"),)), *threads))))
    link.run(list(conversation.feed(codec.encode_request(1, wire.PING, 5, *threads))))
    reply, failure = (codec.decode(payload) for payload in FrameDecoder().feed(b"".join(link.sent)))
    assert (reply.kind, reply.seq, reply.args) == (2, 0, (1, "x"))
    assert (failure.kind, failure.seq) == (3, 1)
    assert not bound or (reply.receiver, failure.receiver) == (7777, 7777)


def test_with_bound_threads_a_nested_request_is_meant_for_the_thread_that_waits() -> None:
    codec = MessageCodec(6, bind_threads=True)
    conversation, link, _ = serve()
    link.run(list(conversation.feed(codec.encode_request(0, wire.GETROOT, (1, ()), 11, 0))))
    ((_, pack),) = [codec.decode(payload).args for payload in FrameDecoder().feed(link.sent.pop())]
    function = (wire.REMOTE_REF, ("builtins.function", 1, 2))
    call = (2, ((3, pack), (1, "call"), (2, (function,)), (1, ())))
    conversation.connection.config["sync_request_timeout"] = 0
    link.run(list(conversation.feed(codec.encode_request(1, wire.CALLATTR, call, 11, 55))))
    nested = codec.decode(FrameDecoder().feed(link.sent[0])[0])
    assert (nested.kind, nested.args[0], nested.sender, nested.receiver) == (1, wire.CALL, 55, 11)


def test_quick_requests_say_so() -> None:
    conversation, link, _ = serve()
    (job,) = conversation.feed(request(0, wire.GETROOT))
    assert job.mode is Mode.QUICK
    link.run([job])
    pack = answers(link)[0].args[1]
    (job,) = conversation.feed(request(1, wire.STR, (3, pack)))
    assert job.mode is Mode.BLOCKING
    conversation.finish(job)
    (job,) = conversation.feed(request(1, wire.STR, (3, ("gone", 1, 2))))
    assert job.mode is Mode.QUICK


def test_a_request_keeps_what_it_is_about_although_the_peer_gives_it_back_at_once() -> None:
    conversation, link, _ = serve(concurrency=5)
    link.run(list(conversation.feed(request(0, wire.GETROOT))))
    pack = answers(link)[0].args[1]
    late, drop = conversation.feed(request(1, wire.STR, (3, pack)) + request(2, wire.DEL, (3, pack), (1, 1)))
    link.run([drop])
    assert len(conversation.connection.table) == 0
    link.run([late])
    assert answers(link)[-1].args[1].startswith("<")


def test_a_refused_request_is_answered_and_a_refused_close_is_not() -> None:
    conversation, link, _ = serve()
    (job,) = conversation.feed(request(3, wire.PING, (1, 1)))
    job.refuse("too busy")
    conversation.finish(job)
    link.send(conversation.take())
    (answer,) = answers(link)
    assert (answer.kind, answer.seq, answer.args[1]) == (3, 3, ("too busy",))
    (job,) = conversation.feed(request(4, wire.CLOSE))
    job.refuse("too busy")
    conversation.finish(job)
    assert conversation.take() == b""


def test_a_service_whose_beginning_fails_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def opened() -> None:
        raise LookupError("no database")

    conversation, link = make(Root(), opened=opened)
    assert conversation.connection.closed and link.closed
    assert "no database" in conversation.connection.end_reason
    assert conversation.phase is Phase.CLOSING
    assert "on_connect" in caplog.text


def test_close_is_not_answered() -> None:
    conversation, link, _ = serve()
    link.run(list(conversation.feed(request(0, wire.CLOSE))))
    assert not link.sent and link.closed == 1
    assert conversation.phase is Phase.CLOSING
    assert conversation.feed(b"more") == ()


@pytest.mark.parametrize("how", ["eof", "time_out", "refuse", "stop"])
def test_ends(how: str) -> None:
    conversation, link, incidents = serve()
    told: list[int] = []
    conversation.connection.on_end = lambda: told.append(1)
    getattr(conversation, how)(*(["too many connections"] if how == "refuse" else []))
    assert conversation.phase is Phase.CLOSING and link.closed and told == [1]
    assert bool(incidents.counts()) == (how in ("time_out", "refuse"))
    conversation.eof()
    assert told == [1]


def test_a_server_that_stops_lets_the_running_request_end() -> None:
    conversation, link, _ = serve()
    (job,) = conversation.feed(request(0, wire.PING, (1, 1)))
    conversation.stop()
    assert not link.closed
    link.run([job])
    assert answers(link)


def frame(payload: bytes) -> bytes:
    return struct.pack("!LB", len(payload), 0) + payload + b"\n"


def nested(depth: int) -> bytes:
    return b"\x01\x11\x50\x11\x51\x11\x51" + b"\x10" * depth + b"\x00"


HOSTILE = {
    "not rpyc": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "4 GiB": struct.pack("!LB", 0xFFFFFFFF, 0),
    "bad flag": struct.pack("!LB", 5, 9) + b"hello\n",
    "empty": frame(b""),
    "zlib bomb": encode_frame(b"\0" * 200_000_000, level=9),
    "no zlib": struct.pack("!LB", 5, 1) + b"hello\n",
    "100,000 nested tuples": frame(nested(100_000)),
    "10^6 digits": frame(b"\x01\x11\x50\x11\x51\x17" + struct.pack("!L", 10**6) + b"7" * 10**6),
    "no kind": frame(b"\x04\x11\x50\x02"),
    "request of one": frame(b"\x01" + brine.dump((1, (1,)))),
    "request of text": frame(b"\x01" + brine.dump((1, "text"))),
    "handler of text": frame(b"\x01" + brine.dump((1, ("x", (1, ()))))),
    "seq of text": frame(b"\x01" + brine.dump(("x", (1, (1, ()))))),
    "trailing": frame(b"\x01" + brine.dump((1, (1, (1, ())))) + b"x"),
    "brine of nothing": frame(b"\x01\x11"),
    "many items": frame(b"\x01\x11\x50\x11\x51\x15" + struct.pack("!L", 3_000_000) + b"\x00" * 3_000_000),
    "frozenset of slices": frame(b"\x01\x11\x50\x11\x51\x1a\x10\x19\x12\x00\x00\x00"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_end_the_connection_with_one_line_and_little_memory(name: str) -> None:
    data = HOSTILE[name]
    conversation, link, incidents = serve()
    tracemalloc.start()
    try:
        assert list(conversation.feed(data)) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 140_000_000
    assert incidents.counts() == {"rpyc": 1}
    assert conversation.phase is Phase.CLOSING and link.closed
    assert conversation.connection.end_reason
    assert conversation.feed(b"\0\0\0\0") == ()


BOXED = [
    None, 5, "x", (), (1,), (1, 2, 3), (5, 1), ("1", 2), (2, 5), (2, ((1, 2), 3)), (2, (None,)), (3, 5), (3, ()), (3, (1, 2)),
    (3, ("x", 1, 2)), (3, (("x",), 1, 2)), (3, ("x", 1.5, None)), (4, 5), (4, ()), (4, ("x", "y", "z")), (4, ("x", 1)), (0, 0),
    (-1, 5), (None, None), (True, 3), (1.0, 3), (3, frozenset({1})), (4, (b"builtins.int", 1, 1)), (4, ("a\0b", 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("handler", [*range(1, 21)])
def test_wrong_shapes_in_every_field_are_answered_and_harm_nobody(handler: int) -> None:
    for boxed in BOXED:
        for arguments in (
            (boxed,),
            (2, (boxed,)),
            (2, ((1, "x"), boxed)),
            (2, (boxed, boxed, boxed, boxed, boxed, boxed)),
            boxed,
        ):
            conversation, link, incidents = serve(config={**ALL, "sync_request_timeout": 0})
            codec = MessageCodec(6, bind_threads=False)
            link.run(list(conversation.feed(codec.encode_request(0, handler, arguments))))
            replies = [message for message in answers(link) if message.kind != wire.REQUEST]
            assert len(replies) == (0 if conversation.connection.closed else 1)
            assert not incidents.counts()


def test_answers_never_asked_for_are_ignored() -> None:
    conversation, link, incidents = serve()
    codec = MessageCodec(6, bind_threads=False)
    many = (2, tuple((4, ("x", 1, number)) for number in range(1000)))
    for seq in (0, 5, -1, 10**30):
        assert list(conversation.feed(codec.encode_reply(seq, many))) == []
        assert list(conversation.feed(codec.encode_exception(seq, many))) == []
    assert not link.sent and not incidents.counts()
    link.run(list(conversation.feed(request(0, wire.PING, (1, 1)))))
    assert len(answers(link)) == 1


@pytest.mark.parametrize("boxed", BOXED, ids=repr)
def test_wrong_shapes_in_answers_are_errors_of_whoever_asked(boxed: Any) -> None:
    for failed in (False, True):
        conversation, link, _ = serve(config={**ALL, "sync_request_timeout": 0})
        codec = MessageCodec(6, bind_threads=False)
        result = conversation.connection.async_request(wire.PING, 1)
        encode = codec.encode_exception if failed else codec.encode_reply
        link.run(list(conversation.feed(encode(0, boxed))))
        assert result.settled
        try:
            _ = result.value
        except (Exception, GeneratorExit):  # noqa: BLE001 - of any kind
            pass
        else:
            assert not failed


@functools.cache
def recorded() -> tuple[bytes, bytes]:
    """Record a whole conversation, both directions, in which nearly everything happens."""
    _server, there = make(Root(), ALL)
    client, here = make(Root(), ALL)
    here.other, there.other = there, here
    conn = client.connection
    root = conn.root
    assert root.add(1, b=2) == 3
    assert list(root.numbers) == [1, 2, 3]
    assert root.echo([1]) == [1]
    assert root.call(lambda *numbers: sum(numbers), 1, 2) == 3
    with pytest.raises(LookupError):
        root.fail()
    with pytest.raises(TypeError):
        root.call(lambda: None, 1)
    root.size = 5
    del root.size
    numbers = root.numbers
    assert numbers == root.numbers
    assert len(root.numbers) == 3
    assert repr(root.numbers) == str(root.numbers)
    assert "add" in dir(root)
    assert isinstance(hash(root), int)
    assert root.echo((1, [2], "x" * 4000, 1.5, 2j, b"b", frozenset({1}), slice(1, 2), None, ...))[0] == 1
    conn.ping()
    while there.step() or here.step():
        pass
    return b"".join(here.sent), b"".join(there.sent)


def mutate(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        what = chance.randrange(5)
        if what == 0:
            changed[at] = chance.randrange(256)
        elif what == 1:
            changed[at] ^= 1 << chance.randrange(8)
        elif what == 2:
            del changed[at : at + chance.randrange(1, 9)]
        elif what == 3:
            changed[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            start = chance.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + chance.randrange(1, 200)]
    return bytes(changed)


def split(data: bytes) -> list[bytes]:
    """Cut a stream into its frames."""
    frames, at = [], 0
    while at < len(data):
        size = struct.unpack_from("!L", data, at)[0] + 6
        frames.append(data[at : at + size])
        at += size
    return frames


def reframed(frames: list[bytes], chance: random.Random) -> bytes:
    """Mutate payloads and leave the framing whole, so that the mutations get further; also leave out, repeat and swap frames."""
    frames = list(frames)
    for _ in range(chance.choice((1, 2, 4))):
        at = chance.randrange(len(frames))
        what = chance.randrange(5)
        if what == 0 and len(frames) > 3:
            del frames[at]
        elif what == 1:
            frames.insert(chance.randrange(len(frames)), frames[at])
        elif what == 2:
            other = chance.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
        else:
            payload = frames[at][5:-1]
            if not frames[at][4] and payload:
                frames[at] = frame(mutate(payload, chance) or b"\0")
    return b"".join(frames)


class Harmless(Root):
    """Does not lead a fuzz to ask for the impossible, as `add("x" * 10**6, ...)` might."""


@pytest.mark.parametrize("seed", range(6))
def test_fuzz_of_whole_conversations(seed: int) -> None:
    requests, replies = recorded()
    for stream, asks in ((requests, False), (replies, True)):
        frames = split(stream)
        chance = random.Random(seed)
        for number in range(200):
            data = mutate(stream, chance) if number % 3 == 0 else reframed(frames, chance)
            conversation, link, incidents = serve(Harmless(), {**ALL, "sync_request_timeout": 0})
            results = [conversation.connection.async_request(wire.PING, 1) for _ in range(50 * asks)]
            size = chance.choice((len(data), 1000, 100))
            for start in range(0, len(data), size):
                link.run(list(conversation.feed(data[start : start + size])))
            for result in results:
                if result.settled:
                    try:
                        _ = result.value
                    except BaseException:  # noqa: BLE001 - anything can have been sent
                        continue
            conversation.eof()
            assert conversation.connection.closed and link.closed
            assert sum(incidents.counts().values()) <= 1
            assert len(conversation.connection.table) == 0


def test_the_recording_is_sound() -> None:
    requests, replies = recorded()
    assert len(split(requests)) > 30 and len(split(replies)) > 30
    conversation, link, incidents = serve()
    link.run(list(conversation.feed(requests)))
    assert not incidents.counts() and len(answers(link)) >= 30


def test_jobs_are_what_the_core_expects() -> None:
    conversation, _, _ = serve()
    (job,) = conversation.feed(request(0, wire.PING, (1, 1)))
    assert isinstance(job, RequestJob) and job.frame == b"" and job.raised is None


def cancel(seq: int, given_up: Any) -> bytes:
    return MessageCodec(6, bind_threads=False).encode_request(seq, CANCEL, (wire.VALUE, (given_up,)))


class Slow:
    """Takes its time."""

    def __init__(self) -> None:
        self.entered = threading.Event()

    async def sleep(self) -> None:
        self.entered.set()
        await asyncio.sleep(30)


def test_a_cancelled_coroutine_ends() -> None:
    root = Slow()
    conversation, link, _ = serve(root)
    link.run(list(conversation.feed(request(0, wire.GETROOT))))
    pack = answers(link)[0].args[1]
    (job,) = conversation.feed(request(1, wire.CALLATTR, (3, pack), (1, "sleep"), (1, ())))
    thread = threading.Thread(target=job.run)
    thread.start()
    assert root.entered.wait(5)
    link.run(list(conversation.feed(cancel(2, 99) + cancel(3, 1) + cancel(4, ()))))
    thread.join(5)
    assert not thread.is_alive()
    link.run(list(conversation.finish(job)))
    link.send(conversation.take())
    assert [(m.seq, m.kind) for m in answers(link)[1:]] == [(2, 2), (3, 2), (4, 2), (1, 3)]


def test_a_call_cancelled_before_its_turn_is_refused() -> None:
    conversation, link, _ = serve()
    first, *_ = conversation.feed(request(0, wire.PING, (1, 1)) + request(1, wire.GETROOT))
    link.run(list(conversation.feed(cancel(2, 1))))
    link.run([first])
    assert [(m.seq, m.kind) for m in answers(link)] == [(2, 2), (0, 2), (1, 3)]
    assert len(conversation.connection.table) == 0


def test_two_requests_of_one_number_are_both_answered() -> None:
    conversation, link, _ = serve()
    link.run(list(conversation.feed(request(7, wire.PING, (1, 1)) + request(7, wire.PING, (1, 2)))))
    assert [m.args for m in answers(link)] == [(1, 1), (1, 2)]
    assert conversation.phase.value == "idle"


def test_a_peer_of_ours_is_told_so_at_once() -> None:
    conversation, link, _ = serve()
    conversation.feed(request(0, wire.PING, (1, 1)))
    asked = MessageCodec(6, bind_threads=False).encode_request(1, wire.PING, (wire.VALUE, (QUESTION,)))
    link.run(list(conversation.feed(asked)))
    assert [m.args for m in answers(link)] == [(1, ANSWER)]


def test_a_peer_that_is_refused_before_it_begins_is_no_affair_of_the_service() -> None:
    told: list[object] = []
    connection = Connection(Root())
    connection.on_end = lambda: told.append("ended")
    conversation = RpycConversation(Peer(), connection, incidents=(incidents := Incidents()))
    conversation.refuse("the server is full")
    conversation.eof()
    assert connection.closed
    assert connection.end_reason == "the server is full"
    assert conversation.phase.value == "closing"
    assert dict(incidents.counts()) == {"rpyc": 1}
    assert not told


@pytest.mark.parametrize(
    "boxed",
    [
        (2, ((3, ("x", 1, 2)), (1, ()), (1, ()))),
        (2, ((3, 5), (1, ()), (1, ()))),
        (2, (b"\x03\x01", b"\x01\x05", b"\x01\x02")),
        (2, ((3, ("x", 1, 2)), 7, (1, ()))),
        (1, ((3, ("x", 1, 2)), (1, ()), (1, ()))),
        (1, (1, 2, 3)),
        (2, "abc"),
    ],
)
def test_calls_of_an_odd_form_are_answered_with_an_error(boxed: Any) -> None:
    conversation, link, _ = serve()
    link.run(list(conversation.feed(MessageCodec(6, bind_threads=False).encode_request(1, wire.CALL, boxed))))
    assert [m.kind for m in answers(link)] == [wire.EXCEPTION]
    assert conversation.phase is Phase.IDLE
