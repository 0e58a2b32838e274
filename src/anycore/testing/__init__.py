"""The conformance kits that Anycore's own parts pass, shipped so that others' can pass them too, and helpers for tests."""

from anycore.testing.memory import MemoryClient, connect

__all__ = ["MemoryClient", "connect"]
