"""`rpyc.cli.rpyc_registry`: becomes `anycore registry`, which takes the same switches."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Go on as `anycore registry`, in this process, with the same arguments."""
    os.execv(sys.executable, [sys.executable, "-m", "anycore", "registry", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
