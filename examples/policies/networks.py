"""An access policy: let some networks call some methods. Without any policy, only this machine may call."""

from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

import msgspec

from anycore import Identity, Peer, Plugin
from anycore.kernel.policy import AccessPolicy, Decision


class Networks(Plugin, AccessPolicy):
    """Allow the methods of [plugin.networks] to its networks; this machine may call everything."""

    class Settings(msgspec.Struct):
        """The table [plugin.networks] of the configuration."""

        networks: tuple[str, ...] = ("192.168.0.0/16",)
        methods: tuple[str, ...] = ("system.*",)

    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:  # noqa: ARG002 - the role's signature
        """Allow what the settings allow."""
        if peer.local:
            return Decision(allowed=True, reason="callers on this machine may call everything")
        address = ip_address(peer.host)
        if not any(address in ip_network(network) for network in self.settings.networks):
            return Decision(allowed=False, reason=f"{peer.host} is in none of the allowed networks")
        if not any(fnmatchcase(method, pattern) for pattern in self.settings.methods):
            return Decision(allowed=False, reason=f"{method} is none of the methods allowed to networks")
        return Decision(allowed=True, reason=f"{peer.host} is in an allowed network")
