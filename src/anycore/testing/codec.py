"""The conformance kit of codecs: `check_codec` feeds one whatever a network could, and tells what it did wrong.

Every codec of Anycore passes it; run it on yours. It needs no test framework: it raises AssertionError. How the hostile
inputs are made lives in `mutation`.

    from anycore.testing.codec import check_codec

    def test_decode_survives_anything() -> None:
        check_codec(decode, [b"<ping/>", b"<pong n='1'/>"], error=MyProtocolError, tokens=[b"<", b"/>", b"n="])

A codec that is fed in pieces is wrapped into a function of the whole input:

    def decode(data: bytes) -> list[Request]:
        parser = RequestParser()
        requests = parser.feed(data)
        parser.eof()
        return requests
"""

from __future__ import annotations

import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from anycore.testing.mutation import Mutator

Errors = type[Exception] | tuple[type[Exception], ...]

_EVERY_CUT = 4096  # longer examples are cut at this many places, evenly spread
_MEMORY_SAMPLES = 200  # tracing allocations is several times slower than decoding
_SHRINKING_STEPS = 2000
_JUNK = (b"\x00", b" ", b"\r\n", b"\xff", b"<", b"}", b"0")
_WHITE = b" \t\r\n"
_SHOWN = 300


@dataclass(frozen=True)
class Report:
    """What came of a check, for those who want to assert that it was not in vain.

    Args:
        accepted: How many inputs were decoded.
        refused: How many inputs raised a permitted exception.
        slowest: The longest time that one input took, in seconds of wall clock.
        peak_memory: The most memory that one input took, in bytes, among the inputs sampled.
    """

    accepted: int
    refused: int
    slowest: float
    peak_memory: int


def check_codec(
    decode: Callable[[bytes], object],
    examples: Iterable[bytes],
    *,
    error: Errors,
    seed: int = 0,
    mutations: int = 20_000,
    tokens: Iterable[bytes] = (),
    complete: bool = False,
    max_seconds: float = 1.0,
    max_memory: int = 32 << 20,
) -> Report:
    """Check that a decoder takes valid inputs and survives all others: refuses them in one way, soon, in little memory.

    The decoder is given, in this order: each example; each example cut at every byte, and with something after it; and
    mutations of the examples (bits flipped, parts deleted, doubled, repeated, exchanged, spliced with other examples,
    tokens put in), the same ones for the same seed.

    Args:
        decode: Takes the whole input. What it returns is not looked at.
        examples: Valid inputs, short ones for preference, that use between them all there is in the format.
        error: The exceptions that may come out for an invalid input. Any other is a failure.
        seed: Chooses the mutations.
        mutations: How many mutations to try. 20,000 take a decoder of 50 microseconds two seconds.
        tokens: Pieces of the format, to be put into the inputs: keywords, limits, known troublemakers. Bytes that
            trouble many formats are among the mutations anyway.
        complete: Whether an input says itself where it ends. Then each proper prefix of an example must be refused, and
            each example with more than ASCII white space after it.
        max_seconds: How long one input may take: in processor time where the platform has a timer for it and this is
            the main thread, so that an endless loop is interrupted; on return otherwise.
        max_memory: How many bytes decoding one input may take at its peak, checked on a sample of the inputs.

    Returns:
        How many inputs there were of which kind, the longest time and the highest memory.

    Raises:
        AssertionError: The decoder failed; the message has the input, made as short as it will go, and the cause.
        ValueError: There are no examples.
    """
    samples = list(examples)
    if not samples:
        raise ValueError("check_codec needs at least one example")
    run = _Run(decode, error, max_seconds, max_memory)
    with run.interrupted():
        for example in samples:
            run.must_accept(example)
        for example in samples:
            _check_ends(run, example, complete=complete)
        mutator = Mutator(samples, tokens, seed)
        for number in range(mutations):
            run.feed(mutator.next(), f"mutation {number} of seed {seed}")
            if number % max(1, mutations // _MEMORY_SAMPLES) == 0:
                run.weigh(mutator.last, f"mutation {number} of seed {seed}")
    return Report(run.accepted, run.refused, run.slowest, run.peak_memory)


def _check_ends(run: _Run, example: bytes, *, complete: bool) -> None:
    step = len(example) / _EVERY_CUT if len(example) > _EVERY_CUT else 1
    for index in range(min(len(example), _EVERY_CUT)):
        cut = int(index * step)
        taken = run.feed(example[:cut], f"an example cut at byte {cut}")
        if taken and complete and example[cut:].strip(_WHITE):
            raise AssertionError(
                f"an example cut at byte {cut} of {len(example)} was accepted: {_shown(example[:cut])}"
            )
    for junk in (*_JUNK, example):
        taken = run.feed(example + junk, f"an example followed by {_shown(junk)}")
        if taken and complete and junk.strip(_WHITE):
            raise AssertionError(f"an example followed by {_shown(junk)} was accepted: {_shown(example)}")


class _OvertimeError(BaseException):
    """Raised into a decoder that does not return; no Exception, so that it does not catch it."""


class _Run:
    """Feeds one decoder and keeps count."""

    def __init__(self, decode: Callable[[bytes], object], error: Errors, max_seconds: float, max_memory: int) -> None:
        self._decode = decode
        self._error = error
        self._max_seconds = max_seconds
        self._max_memory = max_memory
        self._ticked_at = -1
        self._refusal: Exception | None = None
        self.accepted = 0
        self.refused = 0
        self.slowest = 0.0
        self.peak_memory = 0

    def must_accept(self, example: bytes) -> None:
        """Feed and weigh an input that must be decoded."""
        if not self.feed(example, "an example"):
            raise AssertionError(f"a valid example was refused with {self._refusal!r}: {_shown(example)}")
        self.weigh(example, "an example")

    def feed(self, data: bytes, what: str) -> bool:
        """Return whether an input was decoded rather than refused; any other outcome is a failure."""
        started = time.perf_counter()
        try:
            self._decode(data)
        except self._error as refusal:
            taken = False
            self._refusal = refusal
            self.refused += 1
        except _OvertimeError:
            raise AssertionError(f"{what} took more than {self._max_seconds} s: {_shown(data)}") from None
        except Exception as failure:
            short = self._shrunk(data, type(failure))
            raise AssertionError(
                f"{what} raised {failure!r}, which is none of the permitted exceptions; input: {_shown(short)}"
            ) from failure
        else:
            taken = True
            self.accepted += 1
        elapsed = time.perf_counter() - started
        if elapsed > self.slowest:
            self.slowest = elapsed
            if elapsed > self._max_seconds and self._seconds(data) > self._max_seconds:
                raise AssertionError(f"{what} took {elapsed:.1f} s, more than {self._max_seconds} s: {_shown(data)}")
        return taken

    def weigh(self, data: bytes, what: str) -> None:
        """Decode an input once more, and measure the memory it takes."""
        was_tracing = tracemalloc.is_tracing()
        if not was_tracing:
            tracemalloc.start()
        try:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            self._outcome(data)
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            if not was_tracing:
                tracemalloc.stop()
        self.peak_memory = max(self.peak_memory, peak)
        if peak > self._max_memory:
            raise AssertionError(f"{what} took {peak} bytes, more than {self._max_memory}: {_shown(data)}")

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Interrupt, within the context, a decoder that spends twice the permitted time on one input."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return
        # Processor time: a busy machine must not fail a test, and the timer of wall clock time is the test runner's.
        before = signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, self._max_seconds, self._max_seconds)
        try:
            yield
        except _OvertimeError:  # it came when the decoder had just returned
            raise AssertionError(f"an input took more than {self._max_seconds} s") from None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        count = self.accepted + self.refused
        if count == self._ticked_at:  # still the same input as at the last tick
            raise _OvertimeError
        self._ticked_at = count

    def _seconds(self, data: bytes) -> float:
        started = time.process_time()
        self._outcome(data)
        return time.process_time() - started

    def _outcome(self, data: bytes) -> type[BaseException] | None:
        self._ticked_at = -1  # each gets its own time
        try:
            self._decode(data)
        except (Exception, _OvertimeError) as error:  # noqa: BLE001 - to be compared, not handled
            return type(error)
        return None

    def _shrunk(self, data: bytes, failure: type[BaseException]) -> bytes:
        """Return a shorter input that fails in the same way, found by leaving out parts that do not matter."""
        size, steps = max(1, len(data) // 2), 0
        while steps < _SHRINKING_STEPS:
            start, shorter = 0, False
            while start < len(data) and steps < _SHRINKING_STEPS:
                steps += 1
                candidate = data[:start] + data[start + size :]
                if self._outcome(candidate) is failure:
                    data, shorter = candidate, True
                else:
                    start += size
            if size == 1 and not shorter:
                break
            size = max(1, size // 2)
        return data


def _shown(data: bytes) -> str:
    return repr(data) if len(data) <= _SHOWN else f"{data[:_SHOWN]!r}... ({len(data)} bytes)"
