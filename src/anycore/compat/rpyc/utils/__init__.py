"""`rpyc.utils`: servers, factories, helpers; and the two marks for what services expose."""

from __future__ import annotations

from anycore.compat.rpyc.core.protocol import DEFAULT_CONFIG
from anycore.compat.rpyc.utils import (
    authenticators,
    classic,
    factory,
    helpers,
    registry,
    server,
    teleportation,
    zerodeploy,
)
from anycore.rpyc.service import exposed, service

__all__ = [
    "DEFAULT_CONFIG", "authenticators", "classic", "exposed", "factory", "helpers", "registry", "server", "service", "teleportation",
    "zerodeploy",
]  # fmt: skip
