"""The functions that let callers in, socket by socket, as authenticators of RPyC do: found, called, and their results understood."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anycore.kernel.call import Identity, Peer
from anycore.server.errors import StartupError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from anycore.identity.chain import GuardedChain
    from anycore.identity.throttle import Throttle
    from anycore.kernel.authentication import Chain
    from anycore.kernel.incidents import Incidents
    from anycore.settings.tables import ListenSettings

_SHOWN = 200


def greeter_of(
    settings: ListenSettings, incidents: Incidents, chain: Chain | GuardedChain | None
) -> Callable[[socket.socket], Identity] | None:
    """Return what lets callers of a listener in, or None where that is nobody's task.

    Args:
        settings: The listener's table of the configuration.
        incidents: Where it is counted when somebody is not let in.
        chain: Has the throttle that slows down those who are not.

    Raises:
        StartupError: There is no such function.
    """
    if not settings.authenticator:
        return None
    function = _load(settings.authenticator)
    throttle: Throttle | None = getattr(chain, "throttle", None)

    def greet(raw: socket.socket) -> Identity:
        try:
            peer = Peer.of_address(raw.getpeername())
        except OSError:
            peer = Peer.of_address(None)
        try:
            if throttle is not None:
                throttle.check(peer)
            returned, found = function(raw)
            if returned is not raw:
                message = (
                    f"{settings.authenticator} returned another socket than the one it was given; for TLS, use rpycs://"
                )
                raise TypeError(message)
            return _identity(found, settings.authenticator)
        except Exception as error:
            if throttle is not None:
                throttle.failed(peer)
            incidents.note(peer, "authentication-rpyc", f"not let in: {type(error).__name__}: {error!s:.{_SHOWN}}")
            raise

    return greet


def _load(name: str) -> Callable[[Any], tuple[Any, Any]]:
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        message = (
            f"the authenticator {name} cannot be had: {error}; write module:name of a function that can be imported"
        )
        raise StartupError(message) from error
    if not callable(found):
        message = f"the authenticator {name} is not callable; write module:name of a function"
        raise StartupError(message)
    return found  # type: ignore[no-any-return]


def _identity(found: object, name: str) -> Identity:
    """Return who it is, of what an authenticator calls credentials: a name, an identity, or None for somebody without a name."""
    if isinstance(found, Identity):
        return found
    if found is None:
        return Identity("rpyc", "rpyc")
    if isinstance(found, str) and found:
        return Identity(found, "rpyc")
    message = (
        f"{name} returned a {type(found).__name__} as credentials; return the caller's name as text, or an Identity"
    )
    raise TypeError(message)
