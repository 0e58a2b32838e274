"""What a server has made at its start stays until its end, so nobody needs to look through it again and again for garbage."""

from __future__ import annotations

import gc


class Settled:
    """Takes what there is at the start out of the garbage collector's sight (`gc.freeze`), until the server stops.

    A full collection looks at every object there is. With the modules of a server these are hundreds of thousands, which on an event loop
    held up every caller for tens of milliseconds at a time. What is made later is collected as ever.
    """

    def start(self) -> None:
        """Collect once, and look at what is left no more."""
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        """Look at everything again."""
        gc.unfreeze()
