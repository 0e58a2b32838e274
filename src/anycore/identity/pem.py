"""What is wrong with the PEM files of a TLS context, in words. OpenSSL says "PEM lib" of all of it.

Nothing is decoded here: which kinds of blocks a file holds is enough to say what is missing (RFC 7468 section 2).
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----", re.MULTILINE)


def why_unusable(error: Exception, certificate: str, key: str, *others: str) -> str:
    """Return a sentence about files that OpenSSL or Python refused.

    Args:
        error: How they were refused.
        certificate: The file with the certificate; empty where there is none.
        key: The file with its private key; empty where that is to be in the same file.
        *others: Files with authorities and revocation lists; empty ones are passed over.
    """
    files = list(dict.fromkeys(filter(None, (certificate, key, *others))))
    blocks: dict[str, list[bytes]] = {}
    for file in files:
        try:
            blocks[file] = _BLOCK.findall(Path(file).read_bytes())
        except OSError as unread:
            return f"{file} cannot be read: {unread.strerror}; see that it is there and readable for this user"
    for file in (certificate, *others):
        if file and not any(kind.endswith((b"CERTIFICATE", b"CRL")) for kind in blocks[file]):
            return f"{file} holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----"
    if certificate:
        holder = key or certificate
        if not any(kind.endswith(b"PRIVATE KEY") for kind in blocks[holder]):
            where = "name the file that does" if key else "name its file with --key, or `key` in the configuration file"
            return f"{holder} holds no private key in PEM form; {where}"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return f"the private key in {holder} is not that of the certificate in {certificate}; name the one it was made with"
    return f"{error} (files: {', '.join(files)}); each must exist and be in PEM form"
