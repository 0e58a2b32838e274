"""What a server that has started says about itself."""

from __future__ import annotations

from anycore import Plugin, exposed
from anycore.kernel.registry import Entry, verify
from anycore.server.introduction import introduce
from anycore.settings.tables import ListenSettings

URL = "http://127.0.0.1:1"


class Post(Plugin):
    @exposed
    def collect(self) -> None: ...

    @exposed
    def parcel(self, contents: set[int]) -> None: ...

    @exposed
    def send(self, text: str, times: int = 1) -> None: ...


def sample(*entries: Entry, url: str = URL, listener: ListenSettings | None = None) -> str:
    return introduce("asyncio", [url], entries, listener).sample


def test_a_call_to_try_is_of_a_method_for_which_arguments_are_known() -> None:
    assert sample(verify(Post(), "post.py")) == f"anycore call {URL} post.send hello"


def test_without_plugins_of_ones_own_it_is_one_that_succeeds() -> None:
    assert sample() == f"anycore call {URL} system.listMethods"
    assert sample(verify(Post(), "anycore")) == f"anycore call {URL} system.listMethods"


def test_over_tls_it_names_the_certificates_that_it_takes() -> None:
    listener = ListenSettings(url="https://127.0.0.1:1", certificate="c.pem")
    assert (
        sample(url=listener.url, listener=listener) == "anycore call --ca c.pem https://127.0.0.1:1 system.listMethods"
    )
    listener = ListenSettings(
        url="https://127.0.0.1:1", certificate="c.pem", client_ca="a.pem", client_certificate="required"
    )
    assert "--ca c.pem --certificate client.pem --key client.key https" in sample(url=listener.url, listener=listener)
