"""The listeners of a server: their sockets, own or inherited, and the conversations that they open, by the settings in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.conversations.http import HttpConversation
from anycore.cores import Listener
from anycore.cores.probing import probe
from anycore.rpyc.listening import serve_root
from anycore.rpyc.root import PluginRoot
from anycore.server.greeting import greeter_of
from anycore.server.listeners import bind, bound_url, release
from anycore.server.pages import site_of
from anycore.server.process.inherited import Inherited, Passed
from anycore.server.tls import tls_context

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Conversation
    from anycore.conversations.site import HttpSite
    from anycore.kernel.call import Peer
    from anycore.server.application import Server
    from anycore.settings.tables import ListenSettings


class Listening:
    """Makes the listeners of a server, and makes them anew when settings change.

    Args:
        server: The server.
        inherited: Sockets that somebody else has opened.

    Attributes:
        sockets: The sockets, with the settings that they were made by.
        urls: Where they are reached.
    """

    def __init__(self, server: Server, inherited: Inherited) -> None:
        self._server = server
        self._inherited = inherited
        self.sockets: list[tuple[ListenSettings, Passed]] = []
        self.urls: list[str] = []

    def open(self) -> list[Listener]:
        """Bind all sockets, or take those that were inherited.

        Raises:
            StartupError: When one cannot be had; none is left open.
        """
        try:
            made = [self._open(settings) for settings in self._server.settings.listen]
            self._inherited.finish()
        except BaseException:
            self.release()
            raise
        return made

    def _open(self, settings: ListenSettings) -> Listener:
        context = tls_context(settings)
        passed = self._inherited.take(settings) or Passed(settings.url, bind(settings))
        self.sockets.append((settings, passed))
        self._probe(settings, passed.socket)
        self.urls.append(bound_url(settings, passed.socket))
        files = (settings.certificate, settings.key or settings.certificate)
        opener, site = self._opener(settings)
        greet = greeter_of(settings, self._server.incidents, self._server.kernel.authentication)
        listener = Listener(passed.socket, opener, self.urls[-1], context, site, files, greet)
        self._server.certificates.add(settings, listener)
        return listener

    def renew(self, contexts: Sequence[ssl.SSLContext | None]) -> None:
        """Have new connections served as the present settings say.

        Args:
            contexts: The TLS context of each listener.
        """
        server = self._server
        for settings, listener, context in zip(server.settings.listen, server.core.listeners, contexts, strict=True):
            listener.open, listener.site = self._opener(settings)
            self._probe(settings, listener.socket)
            listener.greet = greeter_of(settings, server.incidents, server.kernel.authentication)
            listener.tls = context
            server.certificates.change(settings, listener)

    def _probe(self, settings: ListenSettings, bound: socket.socket) -> None:
        if settings.address.protocol == "rpyc":
            probe(bound, self._server.settings.rpyc.keepalive)

    def _opener(self, settings: ListenSettings) -> tuple[Callable[[Peer], Conversation], HttpSite | None]:
        if settings.address.protocol == "rpyc":
            return self._rpyc_opener(), None
        site = site_of(self._server, settings.allowed_hosts if settings.address.local or settings.hosts else None)
        pipeline = site.limits.pipeline
        return lambda peer: HttpConversation(peer, site, max_pipeline=pipeline), site

    def _rpyc_opener(self) -> Callable[[Peer], Conversation]:
        server, bounds = self._server, self._server.settings.rpyc
        config = {"max_objects": bounds.objects, "include_local_traceback": server.settings.server.debug}
        call_time = server.settings.limits.call_time

        def open_conversation(peer: Peer) -> Conversation:
            root = PluginRoot(server.kernel, peer, server.run_coroutine, call_time)
            conversation = serve_root(
                peer,
                root,
                config=config,
                incidents=server.incidents,
                run_coroutine=server.run_coroutine,
                concurrency=bounds.concurrency,
                max_frame=bounds.frame,
                max_queue=bounds.queue,
                idle_time=bounds.idle_time,
            )
            server.attributes.apply(conversation.connection, root)
            return conversation

        return open_conversation

    def hand_on(self) -> None:
        """Leave the files of Unix sockets to another server, which has the sockets as well."""
        for _, passed in self.sockets:
            passed.keeps_file = True

    def release(self) -> None:
        """Close the sockets, and remove their files, unless these are somebody else's."""
        while self.sockets:
            settings, passed = self.sockets.pop()
            release(settings, passed.socket, keep_file=passed.keeps_file)
