"""What the tables `[sessions]` and `[groups]` must fulfil. Whether a key belongs to its certificate is seen when the server starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from anycore.access.groups.tree import GroupError, check_subject
from anycore.settings.keys import of_section
from anycore.settings.origins import default

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.settings.origins import Origin
    from anycore.settings.tables import Settings

_FILES: Final = ("certificate", "key", "client_ca")


def check_sessions(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """Add what is wrong with the tables `[sessions]` and `[groups]` to the problems.

    Args:
        settings: All settings.
        origins: Where each came from, by path.
        problems: What is wrong so far.
    """
    table = settings.sessions

    def refuse(path: str, reason: str) -> None:
        problems.append(f"{origins.get(path, default(path)).place}: {reason}")

    if table.challenge:
        origin = origins.get("sessions.challenge", default("sessions.challenge"))
        needed = {
            "certificate": ("a certificate with an RSA key", "rsa.pem"),
            "client_ca": ("authorities to trust", "ca.pem"),
        }
        for name, (what, example) in needed.items():
            if not getattr(table, name):
                cure = origin.assign(of_section("sessions")[name], example)
                refuse("sessions.challenge", f"system.auth needs {what}; write e.g. {cure}")
        if "session" not in settings.authentication.chain:
            refuse("sessions.challenge", 'nobody knows callers by sessions; add "session" to chain in [authentication]')
    for name in _FILES:
        file = getattr(table, name)
        if file and not Path(file).exists():
            refuse(f"sessions.{name}", f"there is no file {file}; write the path of a PEM file")
    for subject in settings.groups.admins:
        try:
            check_subject(subject)
        except GroupError as error:
            refuse("groups.admins", str(error))
