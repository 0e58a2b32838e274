"""What is written and counted when a caller is denied: enough to see who and why, without letting one peer fill the log."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

from anycore.kernel.incidents import Incidents

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Peer

KIND: Final = "denied"
_PEERS: Final = 1000


class Denials:
    """Counts denials as incidents, and logs the first few of each peer in any minute. Safe for threads.

    Args:
        incidents: Where they are counted and logged; its own when left out.
        lines: How many denials of one peer reach the log in a window at most.
        seconds: How long a window is.
        clock: Returns the time in seconds; only differences matter.
    """

    def __init__(
        self,
        incidents: Incidents | None = None,
        *,
        lines: int = 5,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.incidents = incidents if incidents is not None else Incidents()
        self._lines = lines
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._windows: dict[str, list[float]] = {}  # by host: when it began, how many were written, how many left out

    def note(self, peer: Peer, message: str) -> None:
        """Count a denial, and log it unless this peer has had its lines.

        Args:
            peer: Who was denied.
            message: What, and why; for people.
        """
        now = self._clock()
        with self._lock:
            window = self._windows.get(peer.host)
            left_out = 0
            if window is None or now - window[0] >= self._seconds:
                if len(self._windows) >= _PEERS:
                    self._windows.clear()
                left_out = 0 if window is None else int(window[2])
                window = self._windows[peer.host] = [now, 0, 0]
            window[1] += 1
            write = window[1] <= self._lines
            window[2] += not write
        if write:
            more = f"; {left_out} more denials of this peer were counted and not logged" if left_out else ""
            self.incidents.note(peer, KIND, message + more)
        else:
            self.incidents.add({KIND: 1})
