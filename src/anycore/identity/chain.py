"""The chain of authenticators with a guard at it: failures are counted, logged, and slowed down. Which ones are in it is the server's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.identity.throttle import too_many
from anycore.kernel.authentication import Chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.identity.throttle import Throttle
    from anycore.kernel.authentication import AuthenticationFault, Authenticator
    from anycore.kernel.call import Peer
    from anycore.kernel.incidents import Incidents

_SHOWN = 100  # characters of a user name


class GuardedChain(Chain):
    """A chain that takes note of those it refuses.

    An authenticator that compares what can be guessed asks the throttle before it looks; here failures are counted for it.

    Args:
        authenticators: The authenticators.
        throttle: Counts failures.
        incidents: Where failures are counted and logged.
    """

    def __init__(self, authenticators: Sequence[Authenticator], throttle: Throttle, incidents: Incidents) -> None:
        super().__init__(authenticators)
        self.throttle = throttle
        self.incidents = incidents

    def refused(self, peer: Peer, fault: AuthenticationFault) -> AuthenticationFault:
        """Count and log a failure, and say when to come again if there were too many; see `Chain.refused`."""
        shown = f" (as {fault.user[:_SHOWN]!r})" if fault.user else ""
        self.incidents.note(peer, fault.kind, f"{fault.message}{shown}")
        if fault.retry_after or fault.kind == "authentication-missing":
            return fault
        left = self.throttle.wait(peer, fault.user)
        self.throttle.failed(peer, fault.user)
        return too_many(left, fault.user) if left > 0 else fault
