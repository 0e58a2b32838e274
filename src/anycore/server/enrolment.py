"""The plugin `enrolment` of a server, made from its settings, where these say that machines are enrolled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anycore.server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.plugin import Plugin
    from anycore.settings.tables import EnrolmentSettings
    from anycore.store.base import Store

PASSPHRASE: Final = "ANYCORE_CA_PASSPHRASE"  # noqa: S105 - the name of a variable


def enrolment_of(settings: EnrolmentSettings, open_store: Callable[[], Store]) -> list[Plugin]:
    """Return the plugin, or nothing where machines are not enrolled.

    Args:
        settings: The table `[enrolment]`.
        open_store: Returns the store with the tokens, in the process that asks.

    Raises:
        StartupError: The authority cannot be used.
    """
    if not settings.ca:
        return []
    from anycore.identity.authority import Authority, AuthorityError
    from anycore.services.enrolment import Enrolment

    try:
        authority = Authority(Path(settings.ca), lambda: _passphrase(settings))
        authority.unlock()  # now, rather than when the first machine comes
    except AuthorityError as error:
        raise StartupError(f"enrolment.ca: {error}") from error
    return [Enrolment(authority, open_store, days=settings.days)]


def _passphrase(settings: EnrolmentSettings) -> str:
    if not settings.passphrase_file:
        return os.environ.get(PASSPHRASE, "")
    try:
        return Path(settings.passphrase_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"enrolment.passphrase_file: {settings.passphrase_file} cannot be read: {error}") from error
