from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

Run = Callable[..., Result]
STORE = ("--store", "lmdb:./store")


def test_tokens_are_made_listed_and_revoked(run: Run) -> None:
    made = run(
        "token",
        "create",
        "probe",
        "--scope",
        "room.*",
        "--group",
        "ops",
        "--expires",
        "90d",
        "--note",
        "cellar",
        *STORE,
    )
    assert made.exit_code == 0 and made.stdout.startswith("anycore_") and made.stdout.count("\n") == 1
    other = run("token", "create", "alice", *STORE)
    listed = run("token", "list", *STORE).stdout.splitlines()
    ident = made.stdout.split("_")[1]
    assert listed[0].split()[1] == "alice"
    assert listed[1].startswith(f"{ident}  probe  groups ops  scopes room.*  until 2") and listed[1].endswith(
        "  cellar"
    )
    assert made.stdout.split("_", 2)[2].strip() not in "".join(listed)
    assert run("token", "revoke", ident, other.stdout.split("_")[1], *STORE).exit_code == 0
    assert run("token", "list", *STORE).stdout == ""
    refused = run("token", "revoke", ident, *STORE)
    assert refused.exit_code == 1 and ident in refused.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["create", "probe", "--expires", "soon"], 2, "expected a time such as 30d"),
        (["create", "probe", "--expires", "0d"], 2, "expected a time such as 30d"),
        (["create", "probe", "--scope", "a|b"], 2, "is no scope"),
        (["create", "pro\tbe"], 2, "cannot be a user's name"),
        (["create", "probe", "--store", "nonsense:"], 3, "expected one of lmdb:"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, args: list[str], code: int, message: str) -> None:
    found = run("token", *args, *(() if "--store" in args else STORE))
    assert found.exit_code == code
    assert message in found.stderr
