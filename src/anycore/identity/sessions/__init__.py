"""Sessions of callers who have logged in: how they are kept, presented, begun and ended (spec/clarens.md sections 3 and 4)."""
