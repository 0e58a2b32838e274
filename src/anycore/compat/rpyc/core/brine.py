"""`rpyc.core.brine`: plain values as bytes, and back."""

from __future__ import annotations

from anycore.wire.brine import dump, dumpable, load

__all__ = ["dump", "dumpable", "load"]
