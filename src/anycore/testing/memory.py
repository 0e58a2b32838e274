"""A server and its client in one process, without sockets: real wires, real conversations, a real kernel."""

from __future__ import annotations

import inspect
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from anycore.clients.blocking import Client
from anycore.clients.exchange import MAX_REPLY, Endpoint, Exchange, make_endpoint
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite, Limits
from anycore.cores.loop_thread import LoopThread
from anycore.kernel.call import Mode, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import PluginRefusedError, verify
from anycore.services.system import System

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anycore.clients.questions import Question
    from anycore.conversations.base import Conversation, Job
    from anycore.kernel.plugin import Plugin

_SCHEMES = {"xmlrpc": "http", "jsonrpc": "jsonrpc+http"}


def connect(
    *plugins: Plugin | type[Plugin],
    wire: str = "jsonrpc",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    peer: Peer | None = None,
    limits: Limits | None = None,
) -> MemoryClient:
    """Serve plugins in memory and return a client of them. Use it in a `with` block: its end stops the plugins.

    Calls are encoded, sent through an HTTP conversation and decoded as they would be over a socket, so that a test sees what a
    caller would see: faults for arguments of the wrong type and for results that the wire cannot carry, deadlines, access rules.

    Args:
        *plugins: Plugins, or classes that are instantiated without arguments.
        wire: `jsonrpc` or `xmlrpc`.
        settings: Tables of the configuration by plugin name, as in `[plugin.NAME]`.
        peer: Who calls; someone on this machine when left out.
        limits: Bounds on what a request may be.

    Raises:
        PluginRefusedError: When a plugin or its settings would be refused by a server.
    """
    if wire not in _SCHEMES:
        message = f"there is no wire {wire!r} for a client in memory; choose one of {', '.join(_SCHEMES)}"
        raise ValueError(message)
    made = [plugin() if isinstance(plugin, type) else plugin for plugin in plugins]
    tables = dict(settings or {})
    entries = [verify(plugin, "memory", tables.pop(plugin.name, None)) for plugin in made]
    if tables:
        raise PluginRefusedError([f"there are settings for {', '.join(tables)}, but no such plugin; correct the name"])
    endpoint = make_endpoint(
        f"{_SCHEMES[wire]}://localhost/", timeout=30.0, headers=None, compress=False, max_reply=MAX_REPLY, default=None
    )
    kernel, loop = Kernel(), LoopThread()
    kernel.registry.commit([*entries, verify(System(kernel, loop.run), "anycore")])
    client = MemoryClient(endpoint, kernel, loop, peer or Peer(), limits)
    client.start([entry.plugin for entry in entries])
    return client


class MemoryClient(Client):
    """A client whose server is in the same process; made by `connect`.

    Attributes:
        kernel: The server's kernel.
    """

    def __init__(self, endpoint: Endpoint, kernel: Kernel, loop: LoopThread, peer: Peer, limits: Limits | None) -> None:
        super().__init__(endpoint)
        self.kernel = kernel
        self._loop = loop
        self._peer = peer
        self._site = HttpSite(kernel, limits=limits)
        self._ending = ExitStack()
        self._ending.callback(loop.close)

    def start(self, plugins: Sequence[Plugin]) -> None:
        """Start the plugins; `close` stops those that were."""
        for plugin in plugins:
            try:
                self._settle(plugin.start())
            except BaseException:
                self.close()
                raise
            self._ending.callback(self._stop, plugin)

    def close(self) -> None:
        """Stop the plugins and release what the server holds."""
        super().close()
        self._ending.close()

    def _stop(self, plugin: Plugin) -> None:
        self._settle(plugin.stop())

    def _settle(self, result: Any) -> None:
        if inspect.iscoroutine(result):
            self._loop.run(result)

    def _carry(self, question: Question, deadline: float | None) -> Exchange:
        left = None if deadline is None else deadline - time.monotonic()
        exchange = self._endpoint.open(question, left)
        conversation = HttpConversation(self._peer, self._site)
        exchange.feed(converse(conversation, exchange.request, self._loop))
        return exchange


def converse(conversation: Conversation, data: bytes, loop: LoopThread) -> bytes:
    """Feed a conversation, run its jobs in this thread, and return what it answers.

    Args:
        conversation: The conversation.
        data: What the peer sends.
        loop: Runs the jobs that are asynchronous.
    """
    return run_jobs(conversation, conversation.feed(data), loop) + conversation.take()


def run_jobs(conversation: Conversation, jobs: Sequence[Job], loop: LoopThread) -> bytes:
    """Run jobs, and those that follow from them, in this thread; return what was ready to be sent meanwhile."""
    sent: list[bytes] = []
    for job in jobs:
        if job.mode is Mode.ASYNC:
            loop.run(job.run_async())
        else:
            job.run()
        sent.append(run_jobs(conversation, conversation.finish(job), loop))
        sent.append(conversation.take())
    return b"".join(sent)
