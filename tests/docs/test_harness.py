"""The samples are really looked at: what a page gets wrong fails its test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

GREETER = """```{code-block} python
:caption: greeter.py

from anycore import Plugin, exposed


class Greeter(Plugin):
    @exposed
    def hello(self) -> str:
        return "hello"
```

```console
$ anycore serve greeter.py --reload
...
```
"""


@pytest.fixture
def page(tmp_path: Path, try_samples: Callable[[Path], int]) -> Callable[[str], int]:
    def check(text: str) -> int:
        path = tmp_path / "page.md"
        path.write_text(text)
        return try_samples(path)

    return check


def test_a_good_page(page: Callable[[str], int]) -> None:
    good = """```console
$ anycore call http://127.0.0.1:6789 greeter.hello
"hello"
```
"""
    assert page(GREETER + good) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        '```console\n$ anycore call http://127.0.0.1:6789 greeter.hello\n"good day"\n```\n',
        "```console\n$ anycore call http://127.0.0.1:6789 greeter.hello\n```\n",
        "```python\nassert 1 == 2\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
        "```{code-block} python\n\nassert 1 == 2\n```\n",
        "```toml\nkey = 5\n```\n",
    ],
    ids=["output", "silence", "assertion", "doctest", "directive", "unknown language"],
)
def test_a_page_that_is_wrong(page: Callable[[str], int], wrong: str) -> None:
    with pytest.raises(AssertionError):
        page(GREETER + wrong)
