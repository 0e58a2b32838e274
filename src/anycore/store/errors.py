"""What a store raises. Nothing else comes out of one, but a TypeError for keys and values that are not bytes."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do it; the message says where, why, and how to cure it. What was there before is still there."""


class StoreFullError(StoreError):
    """There is no room: the disk is full, or the store has reached the size that was set for it."""


class QuotaError(StoreError):
    """A namespace has reached what was allowed to it."""
