"""How people write where a registry is."""

from __future__ import annotations

import pytest

from anycore.discovery.address import RegistryAddress


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("reg.example", "reg.example", 18811, "reg.example:18811"),
        ("10.0.0.1:7", "10.0.0.1", 7, "10.0.0.1:7"),
        ("fe80::1%eth0", "fe80::1%eth0", 18811, "[fe80::1%eth0]:18811"),
        ("[::1]", "::1", 18811, "[::1]:18811"),
        ("[::1]:7", "::1", 7, "[::1]:7"),
    ],
)
def test_addresses(text: str, host: str, port: int, shown: str) -> None:
    address = RegistryAddress.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == shown
    assert RegistryAddress.parse(shown) == address


@pytest.mark.parametrize("text", ["", ":7", "a:", "a:0", "a:65536", "a:x", "[::1", "[::1]7", "a b"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST, HOST:PORT or"):
        RegistryAddress.parse(text)


def test_where_several_may_answer() -> None:
    several = ["255.255.255.255", "10.0.0.255", "ff02::1", "224.0.0.1", "ff02::1%eth0"]
    one = ["10.0.0.1", "::1", "reg255.example", "reg"]
    assert [RegistryAddress(host).is_broadcast for host in several] == [True] * len(several)
    assert [RegistryAddress(host).is_broadcast for host in one] == [False] * len(one)
