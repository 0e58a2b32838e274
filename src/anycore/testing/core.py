"""The conformance kit of cores: `check_core` runs one with a conversation of its own and holds it to what `Core` promises.

Every core of Anycore passes it; run it on yours. It needs no wire, no plugin and no test framework: it raises AssertionError, and
the message names the promise that was broken. With a test framework, have it run the promises one by one:

    import pytest
    from anycore.testing import CORE_CHECKS, check_core

    @pytest.mark.parametrize("check", CORE_CHECKS)
    def test_my_core(check: str) -> None:
        check_core(MyCore, only=[check])

The core runs in a thread of this process, on free ports of the loopback interface and on unix sockets in the directory for
temporary files. The whole kit takes some ten seconds, most of them in the short time limits that it sets. A core that cannot keep a
promise by its nature, because it serves one connection only, say, leaves that check out with `skip`, and says so in its documentation.

What the checks are lives in `core_bytes`, `core_jobs`, `core_peers`, `core_limits` and `core_life`, the conversation in `lines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.testing import core_bytes, core_jobs, core_life, core_limits, core_peers
from anycore.testing.core_http import BYTES, HttpBench
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from anycore.testing.served import CoreFactory

_CHECKS: Final[dict[str, Callable[[Bench], None]]] = {
    check.__name__: check
    for module in (core_bytes, core_jobs, core_peers, core_limits, core_life)
    for check in module.CHECKS
}
CORE_CHECKS: Final = tuple(_CHECKS)
"""The names of all checks, in the order in which they are run."""

HTTP_CANNOT: Final = BYTES
"""The names of the checks that are made of bytes that are no whole request of HTTP."""


def check_core(
    factory: CoreFactory,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    patience: float = 10.0,
    http: bool = False,
) -> None:
    """Check that a core keeps the promises of `anycore.cores.Core`.

    Args:
        factory: Makes the core from listeners and `CoreLimits`; the class itself, as a rule. Called once or more by each check.
        only: Names of the checks to run, of `CORE_CHECKS`; all when empty.
        skip: Names of checks to leave out.
        patience: How long to wait for anything that is promised, in seconds. On a busy machine, more does no harm.
        http: Whether its listeners are asked in HTTP, for a core whose server reads HTTP itself. The checks of `HTTP_CANNOT` are left out.

    Raises:
        AssertionError: A promise was broken; the message names the check and says what it expected.
        ValueError: There is no check of a name that was given.
    """
    unknown = sorted({*only, *skip} - {*CORE_CHECKS})
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r} of cores; there are: {', '.join(CORE_CHECKS)}")
    bench = (HttpBench if http else Bench)(factory, patience)
    for name, check in _CHECKS.items():
        if name not in skip and (not only or name in only) and not (http and name in HTTP_CANNOT):
            _run(name, check, bench)


def _run(name: str, check: Callable[[Bench], None], bench: Bench) -> None:
    try:
        check(bench)
    except Exception as error:
        said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise AssertionError(f"the core breaks the promise {name!r}: {check.__doc__} Here: {said}") from error
