from __future__ import annotations

import subprocess
import sys
from typing import Any

from anycore.identity.shared import Verified

FORKING = """
import os
from anycore.identity.shared import Verified

verified = Verified(60.0)
child = os.fork()
if child == 0:
    verified.add(verified.digest("Basic x", "stamp"))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert verified.left(verified.digest("Basic x", "stamp")) > 0
assert verified.left(verified.digest("Basic y", "stamp")) <= 0
"""


def test_what_was_right_counts_for_a_while(clock: Any) -> None:
    verified = Verified(60.0, clock=clock)
    digest = verified.digest("Basic x", "stamp")
    assert verified.left(digest) <= 0
    verified.add(digest)
    clock.now += 20
    assert verified.left(digest) == 40
    verified.add(digest)
    assert verified.left(digest) == 60
    clock.now += 60
    assert verified.left(digest) <= 0


def test_what_it_depends_on_is_part_of_it() -> None:
    verified, other = Verified(60.0), Verified(60.0)
    verified.add(verified.digest("a", "bc"))
    assert verified.left(verified.digest("ab", "c")) <= 0
    assert verified.left(verified.digest("a", "bd")) <= 0
    assert other.digest("a") != verified.digest("a")


def test_nothing_counts_for_no_time() -> None:
    verified = Verified(0.0)
    verified.add(verified.digest("a"))
    assert verified.left(verified.digest("a")) <= 0


def test_the_memory_is_bounded_and_the_last_ones_stay(clock: Any) -> None:
    verified = Verified(60.0, most=64, clock=clock)
    for number in range(1000):
        clock.now += 0.001
        verified.add(verified.digest(str(number)))
    assert len(verified._memory) == 64 * 24
    assert verified.left(verified.digest("999")) == 60


def test_processes_that_are_forked_share_it() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=60)
