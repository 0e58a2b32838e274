"""What a server that has started says about itself: its listeners, its plugins, and a call to try."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from anycore.kernel.version import own_version
from anycore.server.announcement import Announcement
from anycore.settings.urls import parse_listen_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.method import Method
    from anycore.kernel.registry import Entry

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


def introduce(core: str, urls: Sequence[str], entries: Sequence[Entry], certificate: str = "") -> Announcement:
    """Return what there is to say.

    Args:
        core: The core's name.
        urls: The listeners' URLs, with the ports that were really bound.
        entries: The plugins, in the order in which they were loaded.
        certificate: The file with the first listener's certificate, where it speaks TLS.
    """
    return Announcement(
        listeners=[(url, _WIRES[parse_listen_url(url).protocol]) for url in urls],
        plugins=[(entry.plugin.name, entry.origin, [_line(method) for method in entry.methods]) for entry in entries],
        core=core,
        sample=_sample(urls[0], entries, certificate) if urls and not parse_listen_url(urls[0]).stdio else "",
        version=own_version(),
    )


def _line(method: Method) -> tuple[str, str, str]:
    return method.name, str(method.signature), method.doc.partition("\n")[0]


def _sample(url: str, entries: Sequence[Entry], certificate: str) -> str:
    """Return a command that makes a call which is likely to please: of the operator's own plugins rather than of ours."""
    start = ["anycore", "call", *(["--ca", certificate] if certificate else []), url]
    bundled = {entry.plugin.name for entry in entries if entry.origin == "anycore"}
    methods = [method for entry in entries for method in entry.methods]
    methods.sort(key=lambda method: (method.plugin in bundled, method.signature.least == 0, method.plugin != "system"))
    for method in methods:
        needed = method.signature.positional[: method.signature.least]
        if not method.signature.required_by_name and all(parameter.annotation in _SAMPLES for parameter in needed):
            return shlex.join([*start, method.name, *(_SAMPLES[parameter.annotation] for parameter in needed)])
    return shlex.join([*start, "system.listMethods"])
