"""Completion of names in `anycore shell`. Nothing is evaluated to find them: remote names come from the server's list of its methods.

An attribute of a remote object is never read: that may run code of the server's. Of a proxy the names are asked for, which is one
request; of local objects Python's own completion is used.
"""

from __future__ import annotations

import builtins
import keyword
import rlcompleter
import time
from typing import TYPE_CHECKING, Any, Final

from anycore.clients import Fault, TransportError
from anycore.clients.proxy import MethodProxy
from anycore.objects.proxy import is_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FRESH_SECONDS: Final = 10.0
_EXPOSED: Final = "exposed_"


class Names:
    """Completes for readline.

    Args:
        namespace: The names that can be typed.
        methods: Returns the names of the server's methods.
        trees: Those names of the namespace below which the methods are.
    """

    def __init__(self, namespace: dict[str, Any], methods: Callable[[], Iterable[str]], trees: Iterable[str]) -> None:
        self._namespace = namespace
        self._methods = methods
        self._trees = frozenset(trees)
        self._local = rlcompleter.Completer(namespace)
        self._listed: tuple[float, list[str]] | None = None
        self._matches: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """Return the next possible completion; called by readline.

        Args:
            text: What was typed of the name.
            state: 0 for the first completion, 1 for the next, and so on.
        """
        if state == 0:
            try:
                self._matches = self.matches(text)
            except Exception:  # noqa: BLE001 - whatever an object of the user's does when it is looked at: no completion
                self._matches = []
        return self._matches[state] if state < len(self._matches) else None

    def matches(self, text: str) -> list[str]:
        """Return what a name that has been begun may become.

        Args:
            text: What was typed of it.
        """
        first, *path = text.split(".")
        if not path:
            return self._global(text)
        if first in self._trees:
            return self._remote(first, path)
        return self._attributes(text, first, path)

    def _global(self, text: str) -> list[str]:
        names = {*self._namespace, *keyword.kwlist, *dir(builtins)}
        return sorted(name for name in names if name.startswith(text) and (text or not name.startswith("_")))

    def _remote(self, tree: str, path: list[str]) -> list[str]:
        typed = ".".join(path)
        found = set()
        for name in self._known():
            if name.startswith(typed):
                more = name[len(typed) :].partition(".")
                found.add(f"{tree}.{typed}{more[0]}{'.' if more[1] else '('}")
        return sorted(found)

    def _known(self) -> list[str]:
        now = time.monotonic()
        if self._listed is None or now - self._listed[0] > _FRESH_SECONDS:
            try:
                self._listed = (now, list(self._methods()))
            except (Fault, TransportError):
                self._listed = (now, [])
        return self._listed[1]

    def _attributes(self, text: str, first: str, path: list[str]) -> list[str]:
        missing = object()
        found = self._namespace.get(first, getattr(builtins, first, missing))
        for name in path[:-1]:
            if is_proxy(found) or isinstance(found, MethodProxy) or found is missing:
                return []
            found = getattr(found, name, missing)
        if found is missing or isinstance(found, MethodProxy):
            return []
        if is_proxy(found):
            return self._of_proxy(found, text.rpartition(".")[0], path[-1])
        return list(dict.fromkeys(match for match in self._local.attr_matches(text) or ()))

    def _of_proxy(self, proxy: Any, before: str, typed: str) -> list[str]:
        names = {str(name).removeprefix(_EXPOSED) for name in dir(proxy)}
        return sorted(f"{before}.{name}" for name in names if name.startswith(typed) and (typed or name[:1] != "_"))
