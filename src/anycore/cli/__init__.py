"""The command line: one file per command group. It reads what people type and prints what they see; the work is done below."""

from anycore.cli.root import main

__all__ = ["main"]
