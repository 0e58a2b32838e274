"""The plugin `enrolment`: a new machine gets its certificate with a one-time token, and a known one renews its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.identity.authority.errors import AuthorityError
from anycore.identity.authority.invitations import Invitations
from anycore.identity.authority.requests import read_request
from anycore.kernel.call import Call
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import NO_OPINION, AccessPolicy, Decision
from anycore.wire.faults import ACCESS_DENIED, APPLICATION_ERROR, AUTHENTICATION_FAILED, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.identity.authority.directory import Authority, Issued
    from anycore.kernel.call import Identity, Peer
    from anycore.store.base import Store

METHODS: Final = frozenset({"enrolment.authority", "enrolment.enroll", "enrolment.renew"})
_OPEN: Final = Decision(
    allowed=True, reason="enrolment is on, and whoever has a token or a certificate may use it over TLS"
)


class Enrolment(Plugin, AccessPolicy):
    """Certificates for machines that have a one-time token, or a certificate that ends soon."""

    by_address = True

    def __init__(
        self,
        authority: Authority,
        open_store: Callable[[], Store],
        *,
        days: int = 90,
    ) -> None:
        self._authority = authority
        self._open_store = open_store
        self._days = days

    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:  # noqa: ARG002 - asks for something better than an identity
        """Let everybody who speaks TLS reach the methods of this plugin: they ask for a token or a certificate themselves."""
        return _OPEN if peer.tls and method in METHODS else NO_OPINION

    def admit(self, peer: Peer, method: str) -> Decision | None:
        """As `decide`, which looks at nobody's identity."""
        return None if peer.tls and method in METHODS else NO_OPINION

    @exposed(quick=True)
    def authority(self) -> str:
        """Return the certificate of the authority, in PEM form. It is no secret, and to be trusted by its fingerprint only."""
        return self._authority.pem.decode()

    @exposed
    def enroll(self, call: Call, token: str, request: str) -> str:
        """Return a certificate, and that of the authority after it, in PEM form, for a token that was not used yet.

        The name in the certificate is the one that the token was made for; of the request only the key counts.
        """
        _demand_tls(call)
        try:
            read_request(request.encode())
        except AuthorityError as error:  # before the token is used up
            raise Fault(APPLICATION_ERROR, f"enrolment.enroll: {error}") from None
        invitations = Invitations(self._open_store())
        try:
            invitation = invitations.take(token)
        except AuthorityError as error:
            self.log.warning("call %s: %s was refused a certificate: %s", call.number, call.peer, error)
            raise Fault(AUTHENTICATION_FAILED, f"enrolment.enroll: {error}") from None
        try:
            issued = self._authority.sign(request.encode(), invitation.wanted, days=self._days, made_by="enrolment")
        except BaseException:
            invitations.give_back(token, invitation)
            raise
        return self._issued(call, issued)

    @exposed
    def renew(self, call: Call, request: str) -> str:
        """Return a certificate that says the same as the one that the caller shows, for the key of the request, in PEM form.

        The old one stays valid for as long as it was.
        """
        _demand_tls(call)
        shown = call.peer.certificate
        if shown is None:
            raise Fault(AUTHENTICATION_FAILED, "enrolment.renew: show the certificate that is to be renewed")
        try:
            entry = self._authority.vouch(shown)
        except AuthorityError as error:
            self.log.warning("call %s: %s was refused a renewal: %s", call.number, call.peer, error)
            raise Fault(AUTHENTICATION_FAILED, f"enrolment.renew: {error}") from None
        try:
            issued = self._authority.renew(entry, days=self._days, request=request.encode(), made_by="enrolment")
        except AuthorityError as error:
            raise Fault(APPLICATION_ERROR, f"enrolment.renew: {error}") from None
        return self._issued(call, issued)

    def _issued(self, call: Call, issued: Issued) -> str:
        entry = issued.entry
        self.log.info("call %s: %s has the certificate %s of %s now, until %s", call.number, call.peer, entry.serial[:12],
                      entry.subject, f"{entry.until:%Y-%m-%d}")  # fmt: skip
        return issued.chain.decode()


def _demand_tls(call: Call) -> None:
    if not call.peer.tls:
        raise Fault(ACCESS_DENIED, f"{call.name}: over TLS only; call the https:// or rpycs:// address of this server")
