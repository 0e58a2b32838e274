"""What a server that has started says about itself: its listeners, its plugins, and a call to try."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from anycore.dialects.sources import barren
from anycore.kernel.version import own_version
from anycore.server.announcement import Announcement
from anycore.settings.urls import parse_listen_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.method import Method
    from anycore.kernel.registry import Entry
    from anycore.settings.tables import ListenSettings

_WIRES: Final = {"http": ("XML-RPC", "JSON-RPC"), "rpyc": ("RPyC",)}
_SAMPLES: Final[dict[Any, str]] = {
    int: "2",
    float: "21.5",
    str: "hello",
    bool: "true",
    Any: "hello",
    list: "[]",
    dict: "{}",
}


def introduce(
    core: str,
    urls: Sequence[str],
    entries: Sequence[Entry],
    listener: ListenSettings | None = None,
    sources: Sequence[str] = (),
) -> Announcement:
    """Return what there is to say.

    Args:
        core: The core's name.
        urls: The listeners' URLs, with the ports that were really bound.
        entries: The plugins, in the order in which they were loaded.
        listener: The settings of the first listener, for a call to try.
        sources: What the operator named as plugins.
    """
    return Announcement(
        listeners=[(url, _WIRES[parse_listen_url(url).protocol]) for url in urls],
        plugins=[(entry.plugin.name, entry.origin, [_line(method) for method in entry.methods]) for entry in entries],
        core=core,
        sample=_sample(urls[0], entries, listener) if urls and not parse_listen_url(urls[0]).stdio else "",
        version=own_version(),
        barren=tuple(barren(sources)),
    )


def _line(method: Method) -> tuple[str, str, str]:
    return method.name, str(method.signature), method.doc.partition("\n")[0]


def _sample(url: str, entries: Sequence[Entry], listener: ListenSettings | None) -> str:
    """Return a command that makes a call which is likely to please: of one of the operator's own plugins, if it is clear what to send."""
    start = ["anycore", "call", *_credentials(listener), url]
    methods = [method for entry in entries if entry.origin != "anycore" for method in entry.methods]
    for method in sorted(methods, key=lambda method: method.signature.least == 0):
        needed = method.signature.positional[: method.signature.least]
        if not method.signature.required_by_name and all(parameter.annotation in _SAMPLES for parameter in needed):
            return shlex.join([*start, method.name, *(_SAMPLES[parameter.annotation] for parameter in needed)])
    return shlex.join([*start, "system.listMethods"])


def _credentials(listener: ListenSettings | None) -> list[str]:
    if listener is None or not listener.address.tls:
        return []
    own = ["--certificate", "client.pem", "--key", "client.key"] if listener.client_certificate == "required" else []
    return ["--ca", listener.certificate, *own]
