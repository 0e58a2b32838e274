"""Certificates, keys, authorities and revocation lists that are replaced while the server runs, and warnings before they end.

`Certificates` gives a listener a new TLS context when the files behind the old one have changed. Every core takes the context that
the listener has when a hand-shake begins: hand-shakes under way and connections go on with the old one. A context is made anew rather
than changed, as OpenSSL keeps the revocation lists that it has, and sessions that might be resumed belong to one context.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.server.errors import StartupError
from anycore.server.tls import files, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from anycore.cores.base import Listener
    from anycore.settings.tables import ListenSettings

_log = logging.getLogger("anycore.certificates")

_INTERVAL: Final = 1.0
_DAY: Final = 86_400.0
_LEVELS: Final = (
    (timedelta(days=1), logging.ERROR),
    (timedelta(days=7), logging.WARNING),
    (timedelta(days=30), logging.WARNING),
)
_CURES: Final = {
    "certificate": "renew it: anycore ca renew, or anycore enroll --renew",
    "client_ca": "renew it: anycore ca renew --authority",
    "crl": "renew it: anycore ca crl",
}

Stamps = tuple[tuple[int, int, int] | None, ...]
"""Modification time in nanoseconds, size in bytes and number of each file; None for one that is not there."""
Expiries = list[tuple[str, str, datetime]]
"""The listener's URL, the name of the setting (`certificate`, `client_ca` or `crl`), and when the first of what its file holds ends."""


class _Watched(msgspec.Struct):
    """A listener, what its files were like when they were loaded last, and what they were like at the last look."""

    settings: ListenSettings
    listener: Listener
    loaded: Stamps
    seen: Stamps


class Certificates:
    """Keeps the TLS contexts of listeners in line with their files.

    Args:
        changing: Makes a context in which the core does not fork: OpenSSL's locks are not to be taken then.
        interval: How often to look at the files, in seconds. They are loaded when two looks in a row found them the same, so that a new
            certificate does not go without its key.
    """

    def __init__(
        self,
        changing: Callable[[], AbstractContextManager[object]] = nullcontext,
        *,
        interval: float = _INTERVAL,
    ) -> None:
        self._changing = changing
        self._interval = interval
        self._watched: list[_Watched] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._noticed = 0.0

    def add(self, settings: ListenSettings, listener: Listener) -> None:
        """Take charge of a listener, if it speaks TLS.

        Args:
            settings: Its table of the configuration.
            listener: The listener, with the context that was made from these settings.
        """
        if listener.tls is not None:
            stamps = _stamps(settings)
            self._watched.append(_Watched(settings, listener, stamps, stamps))

    def change(self, settings: ListenSettings, listener: Listener) -> None:
        """Take note that a listener has other settings.

        Args:
            settings: Its table of the configuration.
            listener: The listener, with the context that was made from these settings.
        """
        with self._lock:
            for one in self._watched:
                if one.listener is listener:
                    one.settings = settings
                    one.loaded = one.seen = _stamps(settings)

    def start(self) -> None:
        """Begin to watch, in a thread of its own, and log what ends soon. A listener without TLS needs neither."""
        if not self._watched or self._thread is not None:
            return
        self.warn()  # here and not in the thread: what is imported for it is then there before anything is forked
        self._over.clear()
        self._thread = threading.Thread(target=self._run, name="anycore-certificates", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            self.look()
            if time.monotonic() - self._noticed >= _DAY:
                self.warn()

    def look(self) -> None:
        """Load what has changed, and was as it is now at the last look already."""
        with self._lock:
            for one in self._watched:
                now = _stamps(one.settings)
                if now != one.loaded and now == one.seen:
                    self._load(one, now)
                one.seen = now

    def reload(self) -> bool:
        """Load everything now, changed or not; return whether all could be. What cannot be loaded leaves the old in force."""
        with self._lock:
            done = [self._load(one, _stamps(one.settings)) for one in self._watched]
        self.warn()
        return all(done)

    def _load(self, one: _Watched, stamps: Stamps) -> bool:
        one.loaded = stamps
        try:
            with self._changing():
                context = tls_context(one.settings)
        except StartupError as error:
            _log.error("%s; the old certificates stay in force until the files change again", error)
            return False
        one.listener.tls = context
        _log.info("certificates of %s replaced%s", one.listener.url, _until(one.settings))
        return True

    def expiries(self) -> Expiries:
        """Return when what each listener shows and trusts ends, the soonest of each file."""
        return expiries((one.listener.url, one.settings) for one in self._watched)

    def gauges(self) -> list[tuple[str, str, list[tuple[dict[str, str], float]]]]:
        """Return the same as a metric: its name, its help, and its values by their labels."""
        values = [({"listener": url, "file": name}, until.timestamp()) for url, name, until in self.expiries()]
        text = "When the first certificate or revocation list of a file ends, in seconds since 1970."
        return [("anycore_certificate_expiry_timestamp_seconds", text, values)] if values else []

    def warn(self) -> None:
        """Log what has ended, or ends within 30 days."""
        self._noticed = time.monotonic()
        for level, message in warnings(self.expiries()):
            _log.log(level, "%s", message)


def expiries(listeners: Iterable[tuple[str, ListenSettings]]) -> Expiries:
    """Return when what listeners show and trust ends, the soonest of each file; nothing of files that cannot be read.

    Args:
        listeners: Their URLs and settings.
    """
    from anycore.identity.authority import AuthorityError
    from anycore.identity.authority import expiries as ends

    found: Expiries = []
    for url, settings in listeners:
        if not settings.address.tls:
            continue
        for name, file in files(settings).items():
            try:
                untils = [one.until for one in ends(file.read_bytes(), str(file))]
            except (OSError, AuthorityError):
                continue  # whoever loads it says what is wrong with it
            if untils:
                found.append((url, name, min(untils)))
    return found


def warnings(found: Expiries, now: datetime | None = None) -> list[tuple[int, str]]:
    """Return what there is to be said about what ends within 30 days, with the level for the log.

    Args:
        found: What ends, and when.
        now: The present, when it is not.
    """
    now = datetime.now(UTC) if now is None else now
    said = []
    for url, name, until in found:
        left = until - now
        level = next((level for limit, level in _LEVELS if left <= limit), None)
        if level is not None:
            when = (
                f"has ended on {until:%Y-%m-%d}"
                if left <= timedelta(0)
                else f"ends in {_span(left)}, on {until:%Y-%m-%d}"
            )
            said.append((level, f"{url}: what {name} names {when}; {_CURES[name]}"))
    return said


def _span(left: timedelta) -> str:
    count, unit = (left.days, "day") if left.days else (left.seconds // 3600, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _until(settings: ListenSettings) -> str:
    ends = [until for _, name, until in expiries([("", settings)]) if name == "certificate"]
    return f"; the new one is valid until {ends[0]:%Y-%m-%d}" if ends else ""


def _stamps(settings: ListenSettings) -> Stamps:
    return tuple(_stamp(path) for path in files(settings).values())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
