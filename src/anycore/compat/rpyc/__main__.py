"""`python -m anycore.compat.rpyc SCRIPT [ARGUMENTS]`: runs a program that imports RPyC, with the facade in its place."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from anycore.compat.rpyc.substitute import substitute


def main() -> None:
    """Run the program that the command line names.

    Raises:
        SystemExit: When it names none.
    """
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m anycore.compat.rpyc SCRIPT [ARGUMENTS]")
    substitute()
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
