"""The texts of `anycore new`. They are programs that work: the tests serve, call and test what is made of them."""

from __future__ import annotations

from anycore.kernel.plugin import snake_case

_PLUGIN = '''\
"""{title}, served by Anycore:  anycore serve {name}.py --reload"""

from __future__ import annotations

from anycore import Fault, Plugin, exposed

OUT_OF_RANGE = 1


class {cls}(Plugin):
    """Keep a number between 0 and 100."""
{declared}
    def start(self) -> None:
        """Make ready; called once before the first call."""
        self._value = 0

    @exposed
    def get(self) -> int:
        """Return the number."""
        return self._value

    @exposed
    def set(self, value: int) -> int:
        """Set the number and return the old one."""
        if not 0 <= value <= 100:
            raise Fault(OUT_OF_RANGE, f"value must be from 0 to 100; it was {{value}}")
        old, self._value = self._value, value
        self.log.info("set from %d to %d", old, value)
        return old

    @exposed
    def greet(self, name: str = "world") -> str:
        """Return a greeting."""
        return f"Hello, {{name}}! The number is {{self._value}}."
'''

_TEST = '''\
"""Tests of the plugin {name}, called as over a network, but in memory:  python -m pytest test_{name}.py"""

from __future__ import annotations

import pytest
from anycore import Fault
from anycore.testing import connect

from {name} import OUT_OF_RANGE, {cls}


@pytest.fixture
def client():
    with connect({cls}) as client:
        yield client


def test_the_number_is_kept(client):
    assert client.call("{name}.set", 42) == 0
    assert client.call("{name}.get") == 42


def test_a_number_out_of_range_is_a_fault(client):
    with pytest.raises(Fault, match="from 0 to 100; it was 101") as caught:
        client.call("{name}.set", 101)
    assert caught.value.code == OUT_OF_RANGE
    assert client.call("{name}.get") == 0


def test_an_argument_of_the_wrong_type_is_a_fault(client):
    with pytest.raises(Fault, match="value"):
        client.call("{name}.set", "much")


def test_arguments_can_be_given_by_name(client):
    assert client.call("{name}.greet", name="Ada") == "Hello, Ada! The number is 0."
    assert client.call("{name}.greet") == "Hello, world! The number is 0."
'''


def plugin_source(name: str) -> str:
    """Return the source of a plugin.

    Args:
        name: Its name.
    """
    declared = "" if snake_case(_class(name)) == name else f'\n    name = "{name}"\n'
    return _PLUGIN.format(
        name=name, title=name.replace("_", " ").strip().capitalize(), cls=_class(name), declared=declared
    )


def test_source(name: str) -> str:
    """Return the source of that plugin's test.

    Args:
        name: The plugin's name.
    """
    return _TEST.format(name=name, cls=_class(name))


def _class(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
