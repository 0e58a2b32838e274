"""A private certificate authority: keys, certificates, revocation lists, and the directory that holds them. No sockets.

    authority = Authority.create(Path("ca"), "Example CA")
    issued = authority.issue(Wanted("server.example.org", dns=("server.example.org",), usages=("server",)))

`material` has keys and fingerprints, `building` makes certificates of them, `names` says for whom, `ledger` remembers what was
issued, `directory` puts it all together, and `reading` looks at certificates of others.
"""

from anycore.identity.authority.directory import Authority, Issued
from anycore.identity.authority.errors import AuthorityError
from anycore.identity.authority.ledger import Entry
from anycore.identity.authority.material import KEY_KINDS, fingerprint, make_key, private_pem
from anycore.identity.authority.names import USAGES, Wanted
from anycore.identity.authority.reading import Expiry, expiries
from anycore.identity.authority.requests import make_request

__all__ = [
    "KEY_KINDS",
    "USAGES",
    "Authority",
    "AuthorityError",
    "Entry",
    "Expiry",
    "Issued",
    "Wanted",
    "expiries",
    "fingerprint",
    "make_key",
    "make_request",
    "private_pem",
]
