"""Pages for people. They ask the kernel like any caller, through the same door."""
