"""What the commands that talk to a server share: its URL, a client for it, and completion of its methods."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from anycore.cli.credentials import of_client
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from anycore.clients import Client
    from anycore.rpyc.calling import RpycClient
    from anycore.settings.tables import ClientSettings

    Server = Client | RpycClient

_COMPLETION_SECONDS = 2.0


def client(url: str, config: str | None, options: dict[str, Any]) -> Server:
    """Return a client of a server, for the wire that the URL's scheme chooses.

    Args:
        url: The server's URL.
        config: What `-c` gave.
        options: What the options of the table `[client]` gave.

    Raises:
        Failure: When a setting is wrong.
        BadParameter: When the URL makes no sense.
    """
    from anycore.cli.options import load

    settings = load(config, options, sections=("client",)).client
    context = _context(settings)
    credentials, token = of_client(settings)
    try:
        return _connect(url, settings.timeout or None, context, credentials, token)
    except ValueError as error:
        more = ", or rpyc://host:port (RPyC)" if "unknown scheme" in str(error) and not speaks_rpyc(url) else ""
        cure = "" if "://" in url else f"; did you mean http://{url}?"
        if speaks_rpyc(url) and "@" in url:
            cure = ": --user NAME and --password-file FILE, or --token-file FILE"
        message = f"{error}{more}{cure}"
        raise click.BadParameter(message, param_hint="URL") from error


def telling(server: Server) -> AbstractContextManager[None]:
    """Return a context in which objects of a server, left in a result, fail as calls of the server do."""
    from anycore.clients import Client

    return nullcontext() if isinstance(server, Client) else server.telling()


@contextmanager
def suggesting(server: Server, method: str) -> Iterator[None]:
    """Name the method that was perhaps meant, when a block fails because there is none of this name.

    Args:
        server: Where it was looked for.
        method: Its name.

    Raises:
        Failure: In place of the fault, when there is something to suggest.
    """
    from anycore.wire.faults import METHOD_NOT_FOUND, Fault

    try:
        yield
    except Fault as fault:
        near = _near(server, method) if fault.code == METHOD_NOT_FOUND else ""
        if not near:
            raise
        raise Failure(f"{fault}; did you mean {near}?", Exit.FAULT) from fault


def _near(server: Server, method: str) -> str:
    from difflib import get_close_matches

    from anycore.clients import Fault, TransportError

    try:
        names = server.methods()
    except (Fault, TransportError):
        return ""
    return next((name for name in get_close_matches(method, names, n=1, cutoff=0.75) if name != method), "")


def speaks_rpyc(url: str) -> bool:
    """Tell whether the scheme of a URL chooses RPyC."""
    return url.partition("://")[0].lower().endswith(("rpyc", "rpycs"))


def _connect(
    url: str,
    timeout: float | None,
    context: ssl.SSLContext | None = None,
    credentials: tuple[str, str] | None = None,
    token: str = "",
) -> Server:
    if speaks_rpyc(url):
        from anycore.rpyc.calling import RpycClient

        return RpycClient(url, timeout=timeout, context=context, credentials=credentials, token=token)
    from anycore.clients import connect

    return connect(url, timeout=timeout, context=context, credentials=credentials, token=token)


def _context(settings: ClientSettings) -> ssl.SSLContext | None:
    if not (settings.ca or settings.certificate):
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key or None)
    except (OSError, ssl.SSLError) as error:
        from anycore.identity.pem import why_unusable

        reason = why_unusable(error, settings.certificate, settings.key, settings.ca)
        raise Failure(f"the files of [client] cannot be used: {reason}", Exit.CONFIGURATION) from error
    return context


def complete_method(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the names of the server's methods that begin like what was typed; none when it does not answer soon."""
    from anycore.clients import Fault, LocalProtocolError, TransportError

    try:
        with _connect(ctx.params.get("url") or "", _COMPLETION_SECONDS) as server:
            return [name for name in server.methods() if name.startswith(incomplete)]
    except (Fault, TransportError, LocalProtocolError, ValueError):
        return []
