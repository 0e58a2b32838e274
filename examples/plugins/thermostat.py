"""A plugin with state, settings and typed arguments."""

from dataclasses import dataclass
from threading import Lock

import msgspec

from anycore import Fault, Plugin, exposed

TOO_HOT = 100


@dataclass
class Room:
    """A room as callers see it."""

    name: str
    target: float
    occupied: bool = False


class Thermostat(Plugin):
    """Keep rooms at a temperature."""

    class Settings(msgspec.Struct):
        """The table [plugin.thermostat] of the configuration."""

        maximum: float = 30.0

    def __init__(self) -> None:
        self._lock = Lock()
        self._rooms: dict[str, Room] = {"hall": Room("hall", 19.0)}

    @exposed(quick=True)
    def rooms(self) -> list[Room]:
        """Return all rooms, by name."""
        return [self._rooms[name] for name in sorted(self._rooms)]

    @exposed(quick=True)
    def set(self, celsius: float, room: str = "hall") -> Room:
        """Set the target temperature of a room, in degrees Celsius; a new room comes into being."""
        if celsius > self.settings.maximum:
            raise Fault(TOO_HOT, f"{celsius} °C is more than the {self.settings.maximum} °C that this house allows")
        with self._lock:
            known = self._rooms.setdefault(room, Room(room, celsius))
            known.target = celsius
            return known
