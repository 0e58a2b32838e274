"""Anycore serves Python to a network: a plugin is written once and answers over any wire, on any core."""

from anycore.kernel.call import Call, Identity, Peer, current_call
from anycore.kernel.plugin import Plugin, Role, exposed
from anycore.wire.faults import Fault

__all__ = ["Call", "Fault", "Identity", "Peer", "Plugin", "Role", "current_call", "exposed"]
