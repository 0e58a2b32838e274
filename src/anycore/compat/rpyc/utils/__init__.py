"""`rpyc.utils`: servers, factories, helpers; and the two marks for what services expose."""

# ruff: noqa: PLR0402 - the other form asks the package for what it is about to import

from __future__ import annotations

import anycore.compat.rpyc.utils.authenticators as authenticators
import anycore.compat.rpyc.utils.classic as classic
import anycore.compat.rpyc.utils.factory as factory
import anycore.compat.rpyc.utils.helpers as helpers
import anycore.compat.rpyc.utils.registry as registry
import anycore.compat.rpyc.utils.server as server
import anycore.compat.rpyc.utils.teleportation as teleportation
import anycore.compat.rpyc.utils.zerodeploy as zerodeploy
from anycore.compat.rpyc.core.protocol import DEFAULT_CONFIG
from anycore.rpyc.service import exposed, service

__all__ = [
    "DEFAULT_CONFIG", "authenticators", "classic", "exposed", "factory", "helpers", "registry", "server", "service", "teleportation",
    "zerodeploy",
]  # fmt: skip
