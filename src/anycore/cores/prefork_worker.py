"""One worker of the prefork core, in its own process: it runs the inner core, and a thread that keeps in touch with the supervisor.

How it is made and what becomes of it lives in `prefork_supervisor`.
"""

from __future__ import annotations

import itertools
import logging
import os
import select
import signal
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.cores.base import Figures
from anycore.cores.prefork_errors import wrap
from anycore.cores.prefork_messages import (
    Answered,
    Answers,
    Asked,
    Beat,
    Counted,
    End,
    Frames,
    Heard,
    Message,
    Question,
    Report,
    Said,
    Started,
    Stop,
    Stuck,
    Sums,
    pack,
    to_worker,
)
from anycore.cores.topics import Answer
from anycore.cores.workers import Workers
from anycore.kernel.tally import Totals
from anycore.kernel.whereabouts import whereabouts

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from anycore.cores.base import Core
    from anycore.cores.prefork import PreforkCore

_log = logging.getLogger("anycore.core")

COUNT: Final = "prefork.count"
"""The topic on which the supervisor asks a worker for its `Report`."""
GRACE_SECONDS: Final = 5.0
"""How long a worker may take to end beyond the time that its calls have."""
_HANDLERS: Final = 16
_CHUNK: Final = 1 << 16
_SLACK: Final = 1.0  # seconds that the supervisor gets to say that others were too slow


class Worker:
    """A worker, as it sees itself.

    Args:
        core: The core as whoever made it knows it.
        inner: The core that serves in this process.
        channel: This end of the pair of sockets to the supervisor.
    """

    def __init__(self, core: PreforkCore, inner: Core, channel: socket.socket) -> None:
        self._core = core
        self.inner = inner
        self._channel = channel
        self._frames = Frames()
        self._sending = threading.Lock()
        self._counting = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._started = threading.Event()
        self._serves = threading.get_ident()
        self._to_stop: deque[Stop] = deque()
        self._waker, self._woken = os.pipe()
        self._leaving = False
        self._answered = True
        self._asked = time.monotonic()
        self._complained = False
        watchdog = core.options.watchdog_time
        self._interval = min(1.0, watchdog / 8) if watchdog else 1.0
        self._handlers: Workers[Callable[[], None]] = Workers(
            _HANDLERS, lambda task: task(), _failed, lambda: _forget(self._handlers)
        )
        core.topics.on(COUNT, lambda _: self._report())

    def live(self, startup: Callable[[], None], shutdown: Callable[[], None]) -> int:
        """Serve until told to end; return the exit status of the process."""

        def begin() -> None:
            startup()
            if self.inner.share is not None:
                self.inner.share.tell(0)
            self._started.set()
            self._send(Started())

        signal.signal(signal.SIGTERM, lambda *_: self._end(retire=False))
        for number in (signal.SIGINT, signal.SIGHUP):  # these reach a whole group; the supervisor tells us what follows
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        threading.Thread(target=self._listen, name="anycore-channel", daemon=True).start()
        try:
            self.inner.run(begin, shutdown)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor's code must not go on here
            if self._started.is_set():
                _log.exception("worker %d failed", self._core.number)
            else:
                self._send(wrap(error))
            return 1
        self._send(Beat(self._report()))
        return 0

    # What whoever runs here may ask for; see `Core`.

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell all other processes."""
        self._send(Said(topic, payload))

    def ask(self, topic: str, payload: bytes, worker: int | None, timeout: float) -> list[Answer]:
        """Ask the others, and answer ourselves meanwhile."""
        own = self._core.number
        if worker == own:
            return self._core.topics.answer(topic, payload, own)
        number, future = self._expect()
        self._send(Asked(number, topic, payload, worker, timeout))
        answers = self._core.topics.answer(topic, payload, own) if worker is None else []
        found: list[Answer] = self._wait(number, future, timeout + _SLACK) or []
        return sorted([*answers, *found], key=lambda answer: answer.worker)

    def sums(self, timeout: float) -> tuple[Figures, Totals]:
        """Return what all workers have counted; what this one has if the supervisor does not answer."""
        number, future = self._expect()
        self._send(Counted(number))
        found: Sums | None = self._wait(number, future, timeout)
        if found is None:
            tally = self._core.tally
            return self.inner.figures(), tally.totals() if tally is not None else Totals()
        return found.figures, msgspec.msgpack.decode(found.totals, type=Totals)

    def stop(self, *, retire: bool) -> None:
        """Have the supervisor end the server. May be called from a signal handler: another thread says it."""
        self._to_stop.append(Stop(retire))
        with suppress(OSError):
            os.write(self._woken, b"!")

    def _expect(self) -> tuple[int, Future[Any]]:
        number, future = next(self._numbers), Future[Any]()
        self._waiting[number] = future
        return number, future

    def _wait(self, number: int, future: Future[Any], timeout: float) -> Any:
        try:
            return future.result(timeout)
        except TimeoutError:
            _log.warning("worker %d: the supervisor has not answered within %g s", self._core.number, timeout)
            return None
        finally:
            self._waiting.pop(number, None)

    def _send(self, message: Message) -> None:
        with suppress(OSError), self._sending:  # the supervisor has gone: `_listen` sees to that
            self._channel.sendall(pack(message))

    # In the channel's thread.

    def _listen(self) -> None:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._waker, select.POLLIN)
        due = time.monotonic() + self._interval
        while True:
            ready = poll.poll(max(0.0, due - time.monotonic()) * 1000)
            for descriptor, _ in ready:
                if descriptor == self._waker:
                    os.read(self._waker, 64)
                elif not self._receive():
                    self._orphan()
                    return
            while self._to_stop:
                self._send(self._to_stop.popleft())
            now = time.monotonic()
            if now >= due:
                due = now + self._interval
                self._beat(now)

    def _receive(self) -> bool:
        try:
            data = self._channel.recv(_CHUNK)
        except OSError:
            data = b""
        for frame in self._frames.feed(data):
            self._heed(to_worker(frame))
        return bool(data)

    def _heed(self, message: Message) -> None:
        if isinstance(message, Question) and message.topic == COUNT:
            self._answer(message)  # here, so that no handler that hangs is in the way of the figures
        elif isinstance(message, Question):
            self._handlers.submit(lambda: self._answer(message))
        elif isinstance(message, Heard):
            self._handlers.submit(lambda: self._hear(message))
        elif isinstance(message, Answers):
            self._resolve(message.number, message.answers)
        elif isinstance(message, Sums):
            self._resolve(message.number, message)
        elif isinstance(message, End):
            self._end(retire=message.retire)

    def _resolve(self, number: int, value: Any) -> None:
        future = self._waiting.pop(number, None)
        if future is not None:
            future.set_result(value)

    def _answer(self, question: Question) -> None:
        self._started.wait()
        answers = self._core.topics.answer(question.topic, question.payload, self._core.number)
        self._send(Answered(question.number, answers))

    def _hear(self, heard: Heard) -> None:
        self._started.wait()
        self._core.topics.hear(heard.topic, heard.payload)

    def _end(self, *, retire: bool) -> None:
        self._leaving = True
        self._core.retiring = retire
        if self.inner.share is not None:
            self.inner.share.leave()
        self.inner.retire() if retire else self.inner.stop()

    def _beat(self, now: float) -> None:
        """Tell the supervisor that the thread which sees to connections has had its turn since the last time, if it has."""
        if not self._started.is_set():
            return
        if self._answered or self._leaving:
            self._answered = self._complained = False
            self._asked = now
            self._send(Beat(self._report()))
            self.inner.ping(self._pong)
        elif not self._complained and now - self._asked > self._core.options.watchdog_time / 2:
            self._complained = True
            self._send(Stuck(whereabouts(self._serves)))

    def _pong(self) -> None:
        self._answered = True

    def _report(self) -> Report:
        tally = self._core.tally
        with self._counting:
            taken = tally.take() if tally is not None else b""
        running, calls = (tally.running(), tally.calls) if tally is not None else ({}, 0)
        return Report(self.inner.figures(), calls, running, taken)

    def _orphan(self) -> None:
        """The supervisor has gone: finish what runs, and end."""
        if not self._leaving:
            _log.error("worker %d: the supervisor has gone; it finishes what runs, and ends", self._core.number)
        for number in list(self._waiting):
            self._resolve(number, None)
        self._end(retire=False)
        stop_time = self._core.limits.stop_time
        if stop_time:
            time.sleep(stop_time + GRACE_SECONDS)
            os._exit(1)


BLOCKED: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that wait while a worker is made, until it has handlers of its own."""


def report_of(answer: Answer) -> Report | None:
    """Return the `Report` that a worker has answered; None when it has not."""
    return None if answer.error else msgspec.convert(answer.value, Report)


def _failed(_: Callable[[], None], error: BaseException) -> None:
    _log.error("a message of another process could not be dealt with", exc_info=error)


def _forget(workers: Workers[Callable[[], None]]) -> None:
    workers.take()
