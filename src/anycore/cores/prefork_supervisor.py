"""The supervisor of the prefork core: makes workers, looks after them, and carries what they say to each other. It serves nobody.

It is one thread without an event loop, so that it can fork at any time. What a worker is to it lives in `prefork_members`, what workers
say to each other goes through `prefork_exchange`.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import selectors
import signal
import socket
import sys
import threading
import time
import warnings
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from anycore.cores.base import Figures
from anycore.cores.prefork_errors import WorkerError, unwrap
from anycore.cores.prefork_exchange import COUNT_SECONDS, Exchange
from anycore.cores.prefork_members import Member, Place, State
from anycore.cores.prefork_messages import (
    Answered,
    Asked,
    Beat,
    Counted,
    End,
    Failed,
    Message,
    Said,
    Started,
    Stop,
    Stuck,
    from_worker,
)
from anycore.cores.prefork_worker import BLOCKED, GRACE_SECONDS
from anycore.cores.sharing import Shares
from anycore.cores.topics import Answer
from anycore.kernel.tally import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.cores.prefork import PreforkCore

_log = logging.getLogger("anycore.core")

WORKERS: Final = "prefork.workers"
"""The topic on which the supervisor tells who serves, as a list of `Process`."""
_TURN_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2  # between looks for workers that have ended, where the system does not tell
_OVERSLEPT_SECONDS: Final = 1.0
_SPREAD: Final = 0.2  # by what part more a worker may live, so that not all are replaced at once


class Supervisor:
    """Makes and looks after the workers of a core.

    Args:
        core: The core.
        count: How many workers there are to be.
    """

    def __init__(self, core: PreforkCore, count: int) -> None:
        self._core = core
        self._options = core.options
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._posted: deque[Callable[[], None]] = deque()
        self._members: dict[int, Member] = {}
        self.shares = Shares(count)
        self._places = [Place(number) for number in range(count)]
        self.exchange = Exchange(core, self._members, self._places)
        self.not_now = threading.Lock()
        self._thread = 0
        self._ready = False
        self._stopping = False
        self._told: End | None = None
        self._over = False
        self._warned = False
        self._error: BaseException | None = None
        self._startup: Callable[[], None] = lambda: None
        self._shutdown: Callable[[], None] = lambda: None

    def run(self, startup: Callable[[], None], shutdown: Callable[[], None]) -> None:
        """Have workers serve until stopped; see `Core.run`."""
        self._startup, self._shutdown = startup, shutdown
        self._thread = threading.get_ident()
        warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning, __name__)  # see _warn_of_threads
        gc.collect()
        gc.freeze()  # what is shared with the workers stays shared
        try:
            for listener in self._core.listeners:
                listener.socket.listen(self._core.limits.backlog)
                listener.socket.setblocking(False)
            self._selector.register(self._reader, selectors.EVENT_READ)
            self._heed_wake()  # it may have been told to stop already
            self._look()
            while self._members or not self._stopping:
                self.turn()
        finally:
            gc.unfreeze()
            self._close()
        if self._error is not None:
            raise self._error

    def _close(self) -> None:
        self._over = True
        self._close_listeners()
        for member in self._members.values():  # only when something has gone wrong here
            member.kill("is not needed any more")
            member.close()
        while self._posted:
            self._posted.popleft()()
        self._selector.close()
        self._reader.close()
        self._writer.close()
        self.shares.close()

    def _close_listeners(self) -> None:
        for listener in self._core.listeners:
            listener.socket.close()

    # One turn.

    def turn(self) -> None:
        """Wait until something happens, and see to it."""
        timeout, before = self._timeout(), time.monotonic()
        happened = self._selector.select(timeout)
        late = time.monotonic() - before - timeout
        if late > _OVERSLEPT_SECONDS:  # the machine slept, or this process was stopped: the workers are not to blame
            for member in self._members.values():
                member.heard += late
        for key, events in happened:
            if key.data is None:
                self._heed_wake()
            elif key.data.pid in self._members:
                self._heed(key, events)
        self._look()

    def _timeout(self) -> float:
        moments = [self.exchange.next_look()]
        moments += [member.kill_at for member in self._members.values()]
        if not self._stopping:
            moments += [place.due for place in self._places if place.member is None]
        untold = any(member.descriptor < 0 for member in self._members.values())
        longest = _LOOK_SECONDS if untold else _TURN_SECONDS
        return max(0.0, min(longest, min(moments, default=longest) - time.monotonic()))

    def _heed_wake(self) -> None:
        with suppress(BlockingIOError):
            self._reader.recv(4096)
        while self._posted:
            self._posted.popleft()()

    def _heed(self, key: selectors.SelectorKey, events: int) -> None:
        member: Member = key.data
        if key.fd == member.descriptor:
            self._reap(member)
            return
        if events & selectors.EVENT_WRITE:
            member.flush()
        if events & selectors.EVENT_READ:
            self._listen(member)

    def _listen(self, member: Member) -> None:
        for frame in member.receive():
            self._hear(member, from_worker(frame))

    def _look(self) -> None:
        """See to what has its time."""
        now = time.monotonic()
        for member in list(self._members.values()):
            if member.descriptor < 0:
                self._reap(member)
            self._watch(member, now)
        self.exchange.look(now)
        if not self._stopping:
            for place in self._places:
                if place.member is None and place.heir is None and now >= place.due:
                    place.member = self._make(place)
            self._renew(now)

    def _watch(self, member: Member, now: float) -> None:
        watchdog, silent = self._options.watchdog_time, now - member.heard
        if now >= member.kill_at:
            member.kill("had not ended in time")
        elif watchdog and silent > watchdog and member.state is State.SERVING and not member.late:
            member.late = True
            where = f", and was in {member.stuck}" if member.stuck else ""
            member.kill(f"hung: it had not seen to its connections for {silent:.1f} s{where}")
        elif watchdog and silent > watchdog and member.state is State.STARTING and not member.late:
            member.late = True
            _log.warning("%s has not started after %.1f s; the start of a plugin takes that long", member, silent)

    # Workers come and go.

    def _renew(self, now: float) -> None:
        """Make a replacement for a worker whose time is over, for one at a time."""
        if any(place.heir is not None or place.member is None for place in self._places):
            return
        for place in self._places:
            member = place.member
            if member is None or member.state is not State.SERVING or now < place.due:
                continue
            if member.report.calls >= member.most_calls or now - member.made >= member.oldest:
                place.heir = self._make(place)
                return

    def _make(self, place: Place) -> Member | None:
        """Fork a worker; None when the system does not allow it now."""
        self._warn_of_threads()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or none at all
                stream.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    with self.not_now:
                        pid = os.fork()
                except OSError:
                    ours.close()
                    raise
                if pid == 0:
                    self._live(place.number, ours, theirs)
            member = Member(place.number, pid, ours, self._selector)
        except OSError as error:  # the system gives us no more processes, or descriptors
            wait = max(1.0, place.vacate(time.monotonic(), 0.0))
            place.due = time.monotonic() + wait
            _log.error("worker %d cannot be made: %s; the next try is in %g s", place.number, error, wait)
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        spread = 1.0 + _SPREAD * random.random()  # noqa: S311 - only to be different
        member.most_calls = self._options.calls * spread or float("inf")
        member.oldest = self._options.lifetime * spread or float("inf")
        self._members[pid] = member
        _log.debug("%s is made", member)
        return member

    def _warn_of_threads(self) -> None:
        current = threading.current_thread()
        others = [
            one.name for one in threading.enumerate() if one is not current and not one.name.startswith("anycore-")
        ]
        if (
            others and not self._warned and current is threading.main_thread()
        ):  # else it is a program that knows what it does
            self._warned = True
            _log.warning(
                "workers are made by a process that has further threads, which they lack and whose locks may stay taken: %s;"
                " plugins should start theirs in start(), which runs in each worker",
                ", ".join(others),
            )

    def _live(self, number: int, ours: socket.socket, channel: socket.socket) -> NoReturn:
        """Be a worker, and leave the process without unwinding what belongs to the supervisor."""
        status = 1
        try:
            ours.close()
            self._abandon()
            status = self._core.become(number, channel).live(self._startup, self._shutdown)
        except BaseException:  # noqa: BLE001 - whatever it is, the supervisor's code must not go on here
            _log.exception("worker %d failed", number)
        finally:
            with suppress(OSError, ValueError, AttributeError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _abandon(self) -> None:
        """Let go, in a worker, of what is the supervisor's."""
        for member in self._members.values():
            member.abandon()
        self._members.clear()
        self._selector.close()
        self._reader.close()
        self._writer.close()

    def _reap(self, member: Member) -> None:
        """Take note that a worker has ended, if it has."""
        status = member.ended()
        if status is None:
            return
        self._listen(member)
        del self._members[member.pid]
        member.close()
        self.exchange.lose(member)
        if self._places[member.number].member is member:
            self.shares.leave(member.number)
        place = self._places[member.number]
        current = place.member is member
        if current:
            place.member = None
        elif place.heir is member:
            place.heir = None
        if member.state is State.LEAVING or self._stopping:
            if status:
                _log.warning("%s %s", member, _how(member, status))
            place.ended += current
            return
        self._lament(place, member, status)

    def _lament(self, place: Place, member: Member, status: int) -> None:
        """A worker has ended that should not have."""
        now = time.monotonic()
        wait = place.vacate(now, now - member.served if member.served else 0.0)
        following = f"another takes its place in {wait:g} s" if wait else "another takes its place"
        if not self._ready:
            self._error = member.failure or WorkerError(f"{member} {_how(member, status)} before it had started")
            self._begin_stop(End())
        elif member.state is State.STARTING:
            reason = (
                f"cannot start: {member.failure}" if member.failure else f"{_how(member, status)} before it had started"
            )
            _log.error("%s %s; %s", member, reason, following)
        else:
            _log.warning("%s %s; the calls that ran in it are lost; %s", member, _how(member, status), following)

    def _begin_stop(self, told: End) -> None:
        """Tell all to end, or to end once their connections have."""
        if self._told is not None and (told.retire or not self._told.retire):
            return
        self._stopping, self._told = True, told
        self._close_listeners()
        for member in self._members.values():
            self._dismiss(member, told)

    def _dismiss(self, member: Member, told: End) -> None:
        limits = self._core.limits
        member.state = State.LEAVING
        member.send(told)
        unlimited = not limits.stop_time or (told.retire and not limits.drain_time)
        seconds = limits.stop_time + GRACE_SECONDS + (limits.drain_time if told.retire else 0.0)
        member.kill_at = float("inf") if unlimited else time.monotonic() + seconds

    # What workers say.

    def _hear(self, member: Member, message: Message) -> None:
        match message:
            case Beat():
                member.heard, member.stuck = time.monotonic(), ""
                self.exchange.count(member, message.report)
            case Answered():
                self.exchange.answer(member, message)
            case Asked():
                self.exchange.pass_on(member, message)
            case Said():
                self.exchange.spread(message.topic, message.payload, member)
            case Counted():
                self.exchange.send_sums(member, message.number)
            case Stuck():
                member.stuck = message.where
            case Started():
                self._welcome(member)
            case Failed():
                member.failure = unwrap(message)
            case Stop():
                self._begin_stop(End(message.retire))

    def _welcome(self, member: Member) -> None:
        place = self._places[member.number]
        member.heard = member.served = time.monotonic()
        member.late = False
        if member.state is State.STARTING:
            member.state = State.SERVING
            _log.debug("%s serves", member)
        if place.heir is member:
            before, place.member, place.heir = place.member, member, None
            if before is not None:
                _log.info("%s takes the place of %s, whose time is over", member, before)
                self._dismiss(before, End(retire=True))
                place.ended += 1
        if not self._ready and all(one.member and one.member.state is State.SERVING for one in self._places):
            self._ready = True
            self._core.ready()

    # What this process may ask for; see `Core`.

    def stop(self, *, retire: bool) -> None:
        """Have it end. May be called from any thread and from a signal handler."""
        self.post(lambda: self._begin_stop(End(retire)))

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell all. May be called from any thread and from a signal handler."""
        self.post(lambda: self.exchange.spread(topic, payload))

    def ask(self, topic: str, payload: bytes, worker: int | None, timeout: float) -> list[Answer]:
        """Ask workers, and wait for their answers."""
        found: list[Answer] = []

        def begin(done: Callable[[], None]) -> None:
            def take(answers: list[Answer]) -> None:
                found.extend(answers)
                done()

            self.exchange.ask(topic, payload, worker, timeout, take)

        self._wait(begin, timeout)
        return found

    def renewed_sums(self) -> tuple[Figures, Totals]:
        """Return what all workers have counted until now."""
        self._wait(self.exchange.sum_up, COUNT_SECONDS)
        return self.exchange.figures(), self.exchange.totals()

    def post(self, action: Callable[[], None]) -> None:
        """Have something done in the thread of the supervisor."""
        self._posted.append(action)
        with suppress(OSError):  # it has been told already, or has ended
            self._writer.send(b"!")

    def _wait(self, begin: Callable[[Callable[[], None]], None], timeout: float) -> None:
        """Begin something in the supervisor's thread, and wait until it is done: by going on with everything else, in that thread itself."""
        if self._over or not self._thread:
            return
        done = threading.Event()
        if threading.get_ident() != self._thread:
            self.post(lambda: begin(done.set))
            done.wait(timeout + _TURN_SECONDS)
            return
        begin(done.set)
        while not done.is_set():
            self.turn()


def _how(member: Member, status: int) -> str:
    if member.fate:
        return f"{member.fate}; it was killed"
    return f"was ended by signal {-status}" if status < 0 else f"ended by itself, with status {status}"
