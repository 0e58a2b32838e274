"""Codecs: what the bytes of each wire mean. No socket, thread, clock, log or plugin lives here."""
