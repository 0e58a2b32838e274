"""The servers that are measured, ours and theirs, each a small program."""
