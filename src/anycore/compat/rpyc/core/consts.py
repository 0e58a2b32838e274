"""`rpyc.core.consts`: the protocol's numbers under RPyC's names."""

from __future__ import annotations

from typing import Final

from anycore.wire import rpyc_constants as wire

MSG_REQUEST: Final = wire.REQUEST
MSG_REPLY: Final = wire.REPLY
MSG_EXCEPTION: Final = wire.EXCEPTION

LABEL_VALUE: Final = wire.VALUE
LABEL_TUPLE: Final = wire.TUPLE
LABEL_LOCAL_REF: Final = wire.LOCAL_REF
LABEL_REMOTE_REF: Final = wire.REMOTE_REF

HANDLE_PING: Final = wire.PING
HANDLE_CLOSE: Final = wire.CLOSE
HANDLE_GETROOT: Final = wire.GETROOT
HANDLE_GETATTR: Final = wire.GETATTR
HANDLE_DELATTR: Final = wire.DELATTR
HANDLE_SETATTR: Final = wire.SETATTR
HANDLE_CALL: Final = wire.CALL
HANDLE_CALLATTR: Final = wire.CALLATTR
HANDLE_REPR: Final = wire.REPR
HANDLE_STR: Final = wire.STR
HANDLE_CMP: Final = wire.CMP
HANDLE_HASH: Final = wire.HASH
HANDLE_DIR: Final = wire.DIR
HANDLE_PICKLE: Final = wire.PICKLE
HANDLE_DEL: Final = wire.DEL
HANDLE_INSPECT: Final = wire.INSPECT
HANDLE_BUFFITER: Final = wire.BUFFITER
HANDLE_OLDSLICING: Final = wire.OLDSLICING
HANDLE_CTXEXIT: Final = wire.CTXEXIT
HANDLE_INSTANCECHECK: Final = wire.INSTANCECHECK

EXC_STOP_ITERATION: Final = wire.STOP_ITERATION
STREAM_CHUNK: Final = 64000
"""Bytes of a chunk of a file on its way to the other side."""
