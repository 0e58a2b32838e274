"""Hostile inputs from valid ones, the same for the same seed. What becomes of them is not decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

_TROUBLE: Final = (
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xc0\x80",  # overlong UTF-8
    b"\xed\xa0\x80",  # half a surrogate pair
    b"\xef\xbf\xbf",  # U+FFFF
    b"\xef\xbb\xbf",  # byte order marks
    b"\xff\xfe",
    b"-",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"2147483648",
    b"-9223372036854775809",
    b"9" * 5000,  # more digits than int() takes
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"%s%n",
    b"../",
    b"<",
    b">",
    b"&",
    b"'",
    b'"',
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
)
_MOST_CHANGES: Final = 4
_MOST_REPEATS: Final = 200
_ALIKE: Final = (1, 2, 4, 8)  # bytes
_LONGEST: Final = 1 << 16


class Mutator:
    """An endless supply of mutations.

    Args:
        examples: The valid inputs to start from.
        tokens: Pieces of the format, put in besides the usual troublemakers.
        seed: Chooses the sequence.
    """

    def __init__(self, examples: Sequence[bytes], tokens: Iterable[bytes], seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - not for secrets; it must be repeatable
        self._examples = [example for example in examples if example] or [b"\x00"]
        self._own = tuple(tokens) or _TROUBLE
        self._changes = (
            self._flip,
            self._set,
            self._delete,
            self._double,
            self._repeat,
            self._exchange,
            self._splice,
            self._insert_token,
            self._insert_token,
            self._insert_trouble,
            self._overwrite,
        )
        self.last = b""

    def next(self) -> bytes:
        """Return the next input, one to four changes away from an example, and more often fewer."""
        random = self._random
        data = bytearray(random.choice(self._examples))
        for _ in range(1 + int(random.random() ** 2 * _MOST_CHANGES)):
            random.choice(self._changes)(data)
            if not data:
                break
        self.last = bytes(data[:_LONGEST])
        return self.last

    def _place(self, data: bytearray) -> int:
        return int(self._random.random() * len(data))

    def _span(self, data: bytearray) -> slice:
        start = self._place(data)
        if self._random.random() < 0.6:  # from one place to the next that begins alike: often a whole part
            alike = data[start : start + self._random.choice(_ALIKE)]
            end = data.find(alike, start + 1)
            if end > 0:
                return slice(start, end)
        longest = len(data) - start if self._random.random() < 0.2 else 16
        return slice(start, start + 1 + int(self._random.random() * longest))

    def _flip(self, data: bytearray) -> None:
        data[self._place(data)] ^= 1 << int(self._random.random() * 8)

    def _set(self, data: bytearray) -> None:
        data[self._place(data)] = int(self._random.random() * 256)

    def _delete(self, data: bytearray) -> None:
        del data[self._span(data)]

    def _double(self, data: bytearray) -> None:
        span = self._span(data)
        data[span.start : span.start] = data[span]

    def _repeat(self, data: bytearray) -> None:
        span = self._span(data)
        part = bytes(data[span])[:64]
        data[span.start : span.start] = part * int(self._random.random() * _MOST_REPEATS)

    def _exchange(self, data: bytearray) -> None:
        one, other = self._span(data), self._span(data)
        data[one], data[other] = data[other], data[one]

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._examples)
        data[self._place(data) :] = other[int(self._random.random() * len(other)) :]

    def _insert_token(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self._random.choice(self._own)

    def _insert_trouble(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self._random.choice(_TROUBLE)

    def _overwrite(self, data: bytearray) -> None:
        token = self._random.choice(self._own)
        place = self._place(data)
        data[place : place + len(token)] = token
