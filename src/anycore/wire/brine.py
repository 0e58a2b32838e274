"""Brine, RPyC's encoding of plain values: the door to it. No message, label or reference is known here.

Source: the encoding of RPyC 4.1 to 6.0 as seen on the wire. Tags are in `_brine_tags`, the two directions in
`_brine_encode` and `_brine_decode`.
"""

from __future__ import annotations

from anycore.wire._brine_decode import load
from anycore.wire._brine_encode import Encoded, dump, dumpable

__all__ = ["Encoded", "dump", "dumpable", "load"]
