"""The URL of the store: where it is when nothing is set, what it is relative to, and what it must be like. Nothing is opened here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from anycore.settings.keys import of_section
from anycore.settings.origins import default
from anycore.store.opening import STORES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.settings.origins import Origin
    from anycore.settings.tables import Settings

STORE: Final = "server.store"
"""The setting that has the URL."""


def store_url(settings: Settings) -> str:
    """Return the URL of the store of a server: what is set, or else one in the directory for state.

    That is `STATE_DIRECTORY` where systemd gives one, `/var/lib/anycore` for root, and below `XDG_STATE_HOME` or `~/.local/state` for others.

    Args:
        settings: All settings.
    """
    if settings.server.store:
        return settings.server.store
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        state = Path(given)
    elif os.geteuid() == 0:
        state = Path("/var/lib/anycore")
    else:
        state = Path(os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state") / "anycore"
    return f"lmdb:{quote(str(state / 'store'))}"


def beside(folder: Path, url: str) -> str:
    """Take the path of a URL as relative to a folder.

    Args:
        folder: The folder of the configuration file.
        url: The URL; one that has no path stays as it is.
    """
    scheme, colon, rest = url.partition(":")
    path, mark, options = rest.partition("?")
    return f"{scheme}{colon}{folder / Path(path).expanduser()}{mark}{options}" if path else url


def check_store_url(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """Add what is wrong with the URL of the store to the problems.

    Args:
        settings: All settings.
        origins: Where each came from, by path.
        problems: What is wrong so far.
    """
    url = settings.server.store
    scheme, colon, _ = url.partition(":")
    if url and not (colon and scheme in STORES):
        origin = origins.get(STORE, default(STORE))
        cure = origin.assign(of_section("server")["store"], "lmdb:./store")
        problems.append(f'{origin.place}: expected lmdb:PATH or memory:, got "{url}"; write e.g. {cure}')
