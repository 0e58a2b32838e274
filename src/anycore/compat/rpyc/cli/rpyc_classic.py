"""`rpyc.cli.rpyc_classic`: becomes `anycore classic`, which takes the same switches."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Go on as `anycore classic`, in this process, with the same arguments."""
    os.execv(sys.executable, [sys.executable, "-m", "anycore", "classic", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
