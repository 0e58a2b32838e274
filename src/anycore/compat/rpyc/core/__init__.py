"""`rpyc.core`: connections, services, streams, and the names of the protocol."""

from __future__ import annotations

from anycore.compat.rpyc.core import async_, brine, channel, consts, netref, protocol, service, stream, vinegar
from anycore.compat.rpyc.core.async_ import AsyncResult, AsyncResultTimeout
from anycore.compat.rpyc.core.channel import Channel
from anycore.compat.rpyc.core.netref import BaseNetref
from anycore.compat.rpyc.core.protocol import DEFAULT_CONFIG, Connection
from anycore.compat.rpyc.core.service import ClassicService, MasterService, Service, SlaveService, VoidService
from anycore.compat.rpyc.core.stream import PipeStream, SocketStream, TunneledSocketStream
from anycore.compat.rpyc.core.vinegar import GenericException

__all__ = [
    "DEFAULT_CONFIG", "AsyncResult", "AsyncResultTimeout", "BaseNetref", "Channel", "ClassicService", "Connection", "GenericException",
    "MasterService", "PipeStream", "Service", "SlaveService", "SocketStream", "TunneledSocketStream", "VoidService", "async_", "brine",
    "channel", "consts", "netref", "protocol", "service", "stream", "vinegar",
]  # fmt: skip
