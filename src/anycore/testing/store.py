"""The conformance kit of stores: `check_store` holds one to what `anycore.store.Store` promises.

Every store of Anycore passes it; run it on yours. It needs no test framework: it raises AssertionError, and the message names the
promise that was broken. With a test framework, have it run the promises one by one:

    import pytest
    from anycore.testing import STORE_CHECKS, check_store

    @pytest.mark.parametrize("check", STORE_CHECKS)
    def test_my_store(check: str) -> None:
        check_store(MyStore, only=[check])

A store that outlives the program, or that others can use at the same time, has more to show: give `again`. What the checks are lives
in `store_values`, `store_transactions` and `store_life`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.testing import store_life, store_transactions, store_values
from anycore.testing.store_bench import StoreBench

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from anycore.store import Store

_CHECKS: Final[dict[str, Callable[[StoreBench], None]]] = {
    check.__name__: check for module in (store_values, store_transactions, store_life) for check in module.CHECKS
}
STORE_CHECKS: Final = tuple(_CHECKS)
"""The names of all checks, in the order in which they are run."""


def check_store(
    factory: Callable[[], Store],
    *,
    again: Callable[[Store], Store] | None = None,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    patience: float = 30.0,
) -> None:
    """Check that a store keeps the promises of `anycore.store.Store`.

    Args:
        factory: Returns a new store with nothing in it. Called once by each check, which closes the store.
        again: Returns another store with the contents of the one it is given, which may be open or closed; None when there is no
            such thing, and the checks of that are left out.
        only: Names of the checks to run, of `STORE_CHECKS`; all when empty.
        skip: Names of checks to leave out.
        patience: How long to wait for anything that is promised, in seconds. On a busy machine, more does no harm.

    Raises:
        AssertionError: A promise was broken; the message names the check and says what it expected.
        ValueError: There is no check of a name that was given.
    """
    unknown = sorted({*only, *skip} - {*STORE_CHECKS})
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r} of stores; there are: {', '.join(STORE_CHECKS)}")
    for name, check in _CHECKS.items():
        if name not in skip and (not only or name in only):
            _run(name, check, factory, again, patience)


def _run(
    name: str,
    check: Callable[[StoreBench], None],
    factory: Callable[[], Store],
    again: Callable[[Store], Store] | None,
    patience: float,
) -> None:
    with StoreBench(factory(), again, patience) as bench:
        try:
            check(bench)
        except Exception as error:
            said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"the store breaks the promise {name!r}: {check.__doc__} Here: {said}") from error
