"""What a call is, who may make it and what happens to it. No bytes, sockets or pages live here."""
