"""The methods by which callers begin and end a session, those of Clarens: `system.auth`, `system.auth2`, `system.logout`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.kernel.call import Call
from anycore.kernel.plugin import exposed
from anycore.services.system import System

if TYPE_CHECKING:
    from anycore.identity.sessions.challenge import Challenger
    from anycore.identity.sessions.login import Login


class SystemWithLogin(System):
    """The `system` plugin of a server that knows its callers by their certificates.

    Args:
        *arguments: What `System` takes.
        login: Begins and ends sessions.
    """

    name = "system"

    def __init__(self, *arguments: Any, login: Login) -> None:
        super().__init__(*arguments)
        self._login = login

    @exposed
    def auth2(self, call: Call, name: str = "") -> list[str]:
        """Begin a session, over TLS with a client certificate.

        Return the server's certificate, the caller's, and the session's secret. Later calls present the session's name and that secret, by
        HTTP Basic or in the cookies that come with the answer. The name is the user name of the call's own HTTP Basic credentials; callers
        without such may give one.
        """
        return self._login.begin(call, name)

    @exposed
    def logout(self, call: Call, name: str = "", secret: str = "") -> bool:
        """End the session that the call presents, by HTTP Basic or in cookies, or that it names; return whether there was one."""
        return self._login.end(call, name, secret)


class SystemWithChallenge(SystemWithLogin):
    """The same where callers may log in over plain HTTP.

    Args:
        *arguments: What `System` takes.
        login: Begins and ends sessions.
        challenger: Hands out challenges.
    """

    name = "system"

    def __init__(self, *arguments: Any, login: Login, challenger: Challenger) -> None:
        super().__init__(*arguments, login=login)
        self._challenger = challenger

    @exposed
    def auth(self, call: Call, name: str = "", certificate: str = "") -> list[str]:
        """Begin a session with a certificate whose RSA key answers a challenge.

        The session's name and the certificate in PEM form, or a chain from a proxy certificate on, are user name and password of the
        call's HTTP Basic credentials; callers without such may give them. Return the server's certificate; a nonce, encrypted with the
        key of the caller's certificate; and the name, encrypted with the server's private key. Later calls present the name and, as its
        secret, the SHA-1 of the nonce, in base64 or hexadecimal.
        """
        return self._challenger.challenge(call, name, certificate)
