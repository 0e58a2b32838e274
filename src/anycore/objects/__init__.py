"""RPyC's objects: the table of what the peer holds, boxing, proxies, exceptions, access rules, requests and replies. No I/O lives here."""
