"""The numbers of the RPyC protocol: message kinds, labels, handlers, dialects, limits. No code.

Source: the behaviour of RPyC 4.1 to 6.0 as seen on the wire.
"""

from __future__ import annotations

from typing import Final

# Kinds of messages
REQUEST: Final = 1
REPLY: Final = 2
EXCEPTION: Final = 3

# Labels: what a boxed value is
VALUE: Final = 1  # the value itself
TUPLE: Final = 2  # a tuple of boxed items, at least one of which is no plain value
LOCAL_REF: Final = 3  # an id pack: an object of the receiver
REMOTE_REF: Final = 4  # an id pack: an object of the sender

# Handlers: what a request asks for
PING: Final = 1
CLOSE: Final = 2  # the only one that gets no reply
GETROOT: Final = 3
GETATTR: Final = 4
DELATTR: Final = 5
SETATTR: Final = 6
CALL: Final = 7
CALLATTR: Final = 8
REPR: Final = 9
STR: Final = 10
CMP: Final = 11
HASH: Final = 12
DIR: Final = 13
PICKLE: Final = 14
DEL: Final = 15
INSPECT: Final = 16
BUFFITER: Final = 17
OLDSLICING: Final = 18
CTXEXIT: Final = 19
INSTANCECHECK: Final = 20

# The dump of an exception that is exactly StopIteration
STOP_ITERATION: Final = 1

# Dialects, by the first version that speaks them
DIALECT_5: Final = 5  # 4.1 to 5.3: a message is a brine triple
DIALECT_6: Final = 6  # 6.0 and later: a kind byte, then a brine pair

# Payloads longer than this, in bytes, are what RPyC compresses, at this level of zlib.
COMPRESS_ABOVE: Final = 3000
COMPRESSION_LEVEL: Final = 1

# Limits of ours; RPyC has none. The first two in bytes.
MAX_FRAME: Final = 64 * 1024 * 1024
MAX_INFLATED: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 100
MAX_ITEMS: Final = 1_000_000
MAX_DIGITS: Final = 4300  # what Python converts by default

# Registry
REGISTRY_PORT: Final = 18811
MAX_DATAGRAM: Final = 1500  # bytes; a client may have to take a longer reply to LIST
MAX_LIST_DATAGRAM: Final = 15000
