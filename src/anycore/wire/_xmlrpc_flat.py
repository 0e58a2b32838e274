"""Calls with a few scalar parameters, as most clients write them: bytes to method and parameters, in one match.

What matches is plain ASCII without references, in tags without attributes, so there is nothing in it that XML could read otherwise.
It only accepts: whatever is of another form, or wrong, is left to the long way, which has the words for it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from anycore.wire._xmlrpc_scalars import CONVERTERS, Refusal

_S: Final = r"[ \t\n]*+"
# No "<" and "&", no "]", which may end a "]]>", no carriage return, which is normalised, and nothing beyond ASCII.
_TEXT: Final = r"[\t\n\x20-\x25\x27-\x3b\x3d-\x5c\x5e-\x7e]*+"
_DECLARATION: Final = (
    r"(?:<\?xml version=(?:'1\.0'|\"1\.0\")(?: encoding=(?:'(?:utf-8|UTF-8)'|\"(?:utf-8|UTF-8)\"))?+ ?+\?>)?+"
)
_MOST: Final = 4


def _params(number: int = 1) -> str:
    kind = f"kind{number}"
    param = rf"<param>{_S}<value>(?:{_S}<(?P<{kind}>[A-Za-z0-9.]++)>)?+({_TEXT})(?({kind})</(?P={kind})>{_S})</value>{_S}</param>{_S}"
    return f"(?:{param}{_params(number + 1) if number < _MOST else ''})?+"


_CALL: Final = re.compile(
    (
        f"{_DECLARATION}{_S}<methodCall>{_S}<methodName>({_TEXT})</methodName>{_S}<params>{_S}{_params()}</params>{_S}"
        f"</methodCall>{_S}"
    ).encode()
).fullmatch


def flat_call(body: bytes) -> tuple[str, list[Any]] | None:
    """Return the method and the parameters of a call with at most four parameters, all of them scalars.

    Args:
        body: The document, in UTF-8.

    Returns:
        None where the document is of another form, or something is wrong with it.
    """
    found = _CALL(body)
    if found is None:
        return None
    items = iter(found.groups())
    method = next(items).strip(b" \t\n").decode()
    params: list[Any] = []
    try:
        for kind, content in zip(items, items, strict=True):
            if content is None:
                break
            if kind == b"int" and content.isdigit() and len(content) < 10:  # surely below 2**31
                params.append(int(content))
            else:
                convert = CONVERTERS[None if kind is None else kind.decode()]
                params.append(content.decode() if convert is None else convert(content.decode()))
    except (Refusal, KeyError):
        return None
    return (method, params) if method else None
