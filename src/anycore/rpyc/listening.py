"""Conversations for servers: what a peer that connects to an RPyC listener gets to speak with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.rpyc import RpycConversation
from anycore.objects.connection import Connection
from anycore.wire.rpyc_constants import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anycore.kernel.call import Peer
    from anycore.kernel.incidents import Incidents


def serve_root(
    peer: Peer,
    root: Any,
    *,
    config: dict[str, Any] | None = None,
    incidents: Incidents | None = None,
    run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] | None = None,
    concurrency: int = 1,
    max_frame: int = MAX_FRAME,
    max_queue: int = 1000,
    idle_time: float = 0.0,
) -> RpycConversation:
    """Return the conversation with a peer whose root is the given object.

    Args:
        peer: The peer.
        root: A service: its `on_connect` and `on_disconnect` are called, whatever class it derives from; or any object.
        config: Keys of the configuration that differ from the defaults.
        incidents: Where bad input is counted.
        run_coroutine: Runs a coroutine on the core's loop and waits for it, for `async def` methods.
        concurrency: How many of the peer's requests may run at once.
        max_frame: Bytes of a frame, as sent and after it is inflated.
        max_queue: Requests that may wait for their turn.
        idle_time: Seconds that the peer may be silent between messages; 0 for as long as it likes.
    """
    connection = Connection(root, config)
    if run_coroutine is not None:
        connection.run_coroutine = run_coroutine
    connect, disconnect = _hook(root, "on_connect"), _hook(root, "on_disconnect")
    if disconnect is not None:
        connection.on_end = partial(disconnect, connection)
    opened = None if connect is None else partial(connect, connection)
    return RpycConversation(
        peer,
        connection,
        incidents=incidents,
        opened=opened,
        concurrency=concurrency,
        max_frame=max_frame,
        max_queue=max_queue,
        idle_time=idle_time,
    )


def _hook(root: Any, name: str) -> Callable[[Connection], None] | None:
    """Return a method of a service, unless it does nothing, as those of base classes do: on some cores it would cost a thread's time."""
    found: Callable[[Connection], None] | None = getattr(root, name, None)
    code = getattr(getattr(found, "__func__", None), "__code__", None)
    return None if code is not None and code.co_code in _EMPTY and code.co_consts[-1] is None else found


def _plain(service: object, connection: object) -> None:
    pass


def _documented(service: object, connection: object) -> None:
    """Do nothing."""


_EMPTY: Final = frozenset({_plain.__code__.co_code, _documented.__code__.co_code})
