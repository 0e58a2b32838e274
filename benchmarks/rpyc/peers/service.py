"""The service that both sides serve: a class written for the real rpyc, which knows nothing of Anycore."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"
from __future__ import annotations

import rpyc

NUMBERS = list(range(10_000))


class Sensor:
    """A user's class, new instances of which are handed out."""

    def __init__(self, number: int) -> None:
        self.exposed_number = number

    def exposed_read(self) -> int:
        """Return the number."""
        return self.exposed_number

    def exposed_reset(self) -> None:
        """Forget the number."""
        self.exposed_number = 0

    def __len__(self) -> int:
        return 1


class BenchService(rpyc.Service):
    """What the clients of the benchmark call."""

    def exposed_add(self, a: int, b: int) -> int:
        """Return the sum."""
        return a + b

    def exposed_size(self, data: bytes) -> int:
        """Take bytes; return how many they are."""
        return len(data)

    def exposed_make(self, number: int) -> Sensor:
        """Return a new instance."""
        return Sensor(number)

    def exposed_numbers(self) -> list[int]:
        """Return a list, which goes by reference."""
        return NUMBERS
