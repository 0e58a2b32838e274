"""Having a listener find out who has connected before anything is said on the wire: by a function that gets the bare socket, and may wait."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.cores.base import Listener
    from anycore.kernel.call import Identity, Peer


class GreetingError(OSError):
    """Whoever has connected is not let in, or has gone."""


def greet(listener: Listener, raw: socket.socket, seconds: float) -> Identity:
    """Find out who has connected, in the calling thread.

    Args:
        listener: Where it connected.
        raw: Its socket. It blocks afterwards.
        seconds: How long it may be silent; 0 for as long as it likes. How long all may take is the core's to see to.

    Raises:
        GreetingError: It is not let in.
    """
    assert listener.greet is not None
    raw.settimeout(seconds or None)
    try:
        found = listener.greet(raw)
        raw.settimeout(None)
    except Exception as error:  # whatever it is, and whoever has logged it
        raise GreetingError(str(error)) from error
    return found


async def greet_apart(listener: Listener, raw: socket.socket, seconds: float) -> Identity:
    """Find out who has connected, in a thread of its own; when this is cancelled, the socket is shut down, and so the thread ends.

    Args:
        listener: Where it connected.
        raw: Its socket. It does not block afterwards.
        seconds: How long it may be silent.

    Raises:
        GreetingError: It is not let in.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Identity] = loop.create_future()

    def tell(settle: Callable[..., None], value: object) -> None:
        if not done.done():
            settle(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[..., None], object] = (done.set_result, greet(listener, raw, seconds))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome = (done.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, *outcome)

    thread = threading.Thread(target=run, name="anycore-greeting", daemon=True)
    try:
        thread.start()
        found = await done
    except BaseException:
        with suppress(OSError):  # the peer has gone already
            raw.shutdown(socket.SHUT_RDWR)
        raise
    raw.setblocking(False)
    return found


def known(peer: Peer, identity: Identity | None) -> Peer:
    """Return a peer with what was found out about it."""
    return peer if identity is None else msgspec.structs.replace(peer, identity=identity)
