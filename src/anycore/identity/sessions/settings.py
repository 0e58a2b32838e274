"""What can be set of sessions: the table `[sessions]`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_FILE = {"path": True}


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[sessions]`: callers that log in once.

    Args:
        idle_time: Seconds after which a session that is not used ends.
        lifetime: Seconds after which a session ends, used or not.
        sessions: Sessions in all.
        per_identity: Sessions of one identity; another one ends the one that was used least lately.
        implicit: Who is given a session without asking for one, in cookies, on a call over TLS with a client certificate: off for
            nobody, asked for callers that present the first password of old clients, any for all that present no session.
        challenge: Let callers log in with a certificate over plain HTTP, by `system.auth`. What follows can be read and repeated by
            whoever is on the way.
        certificate: PEM file with the RSA certificate that `system.auth` answers with.
        key: PEM file with that certificate's private key, when it is not in the same file.
        client_ca: PEM file, or directory of PEM files, with the authorities whose certificates `system.auth` accepts, and with their
            revocation lists.
        proxies: Accept proxy certificates (RFC 3820, and those of Globus before it) in `system.auth`.
        key_bits: Bits that the RSA key of a certificate must have in `system.auth`.
        challenge_time: Seconds within which the answer to a challenge must be used.
        challenges: Challenges handed out within a minute, to all callers.
        challenges_per_address: Challenges handed out within a minute, to one address.
    """

    idle_time: float = 3600.0
    lifetime: float = 43200.0
    sessions: int = 100_000
    per_identity: int = 100
    implicit: Literal["off", "asked", "any"] = "asked"
    challenge: bool = False
    certificate: Annotated[str, Meta(examples=["sessions.pem"], extra=_FILE)] = ""
    key: Annotated[str, Meta(examples=["sessions.key"], extra=_FILE)] = ""
    client_ca: Annotated[str, Meta(examples=["grid-security/certificates"], extra=_FILE)] = ""
    proxies: bool = True
    key_bits: int = 2048
    challenge_time: float = 60.0
    challenges: int = 6000
    challenges_per_address: int = 120
