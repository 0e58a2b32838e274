"""What `import anycore.rpyc as rpyc` offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import anycore.rpyc
from anycore.rpyc import connecting, helpers


@pytest.mark.parametrize("name", anycore.rpyc.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(anycore.rpyc, name) is not None
    assert name in dir(anycore.rpyc)


def test_they_are_those_of_the_modules() -> None:
    assert anycore.rpyc.connect is connecting.connect
    assert anycore.rpyc.async_ is helpers.async_
    with pytest.raises(AttributeError, match=r"module 'anycore\.rpyc' has no attribute 'conect'"):
        anycore.rpyc.conect  # noqa: B018


def test_nothing_is_imported_before_it_is_used() -> None:
    program = "import sys, anycore.rpyc; sys.exit('anycore.objects.connection' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
