"""One peer's dialogue, sans-IO: bytes in, jobs out, outcomes in, bytes out. No socket or thread lives here."""
