"""What the table `[enrolment]` must fulfil. The authority itself is looked at when the server starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anycore.settings.origins import default

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.settings.origins import Origin
    from anycore.settings.tables import Settings


def check_enrolment(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """Add what is wrong with the table `[enrolment]` to the problems.

    Args:
        settings: All settings.
        origins: Where each came from, by path.
        problems: What is wrong so far.
    """
    table = settings.enrolment
    if not table.ca:
        return

    def refuse(reason: str, name: str = "ca") -> None:
        path = f"enrolment.{name}"
        problems.append(f"{origins.get(path, default(path)).place}: {reason}")

    if not (Path(table.ca) / "ca.pem").is_file():
        refuse(f"there is no authority in {table.ca}; make one with: anycore ca init {table.ca}")
    if table.passphrase_file and not Path(table.passphrase_file).is_file():
        refuse(
            f"there is no file {table.passphrase_file}; write the path of a file with a passphrase", "passphrase_file"
        )
    if "anonymous" not in settings.authentication.chain:
        refuse('new machines have nothing but a token; add "anonymous" at the end of chain in [authentication]')
    if not any(_reachable(listener.url, listener.client_certificate) for listener in settings.listen):
        refuse(
            'no listener takes new machines, which have no certificate yet; write client_certificate = "optional" for one with TLS'
        )


def _reachable(url: str, client_certificate: str) -> bool:
    return url.startswith(("https:", "rpycs:")) and client_certificate != "required"
