"""Signs of life for connections of programs without an event loop: a thread asks the other side from time to time."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anycore.objects.connection import Connection


def keep_alive(connection: Connection, interval: float) -> None:
    """Ping the other side for as long as a connection lasts, and end the connection when no answer comes.

    Whoever waits for an answer of the other side then gets `EOFError`, which says why. That takes twice the interval at most. A server of
    Anycore's answers while it works at calls; RPyC's own do not, so with those the interval has to be longer than the longest call.

    Args:
        connection: The connection; a thread is started for it, which does not keep it from being forgotten.
        interval: Seconds between two pings.

    Raises:
        ValueError: When the interval is not above 0.
    """
    if not interval > 0:
        message = f"ping_interval is a number of seconds above 0, not {interval!r}"
        raise ValueError(message)
    thread = threading.Thread(
        target=_keep_asking, args=(weakref.ref(connection), interval), name="anycore-keep-alive", daemon=True
    )
    thread.start()


def _keep_asking(find: weakref.ref[Connection], interval: float) -> None:
    while True:
        time.sleep(interval)
        connection = find()
        if connection is None or connection.closed:
            return
        # A second try, because this thread may have been busy with a request of the other side when the answer came.
        if not _lives(connection, interval / 2) and not _lives(connection, interval / 2):
            connection.ended(f"the other side did not answer a ping within {interval:g} s")
            return
        del connection


def _lives(connection: Connection, seconds: float) -> bool:
    try:
        connection.ping("", timeout=seconds)
    except TimeoutError:
        return False
    except (EOFError, OSError, OverflowError, ValueError):
        return True  # it has ended, and says why itself; or something was heard, of whatever kind
    return True
