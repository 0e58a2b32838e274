"""The store of a server: opened when it is needed, kept by plugins across restarts, bounded, and rid of what has ended."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from anycore import Plugin, exposed
from anycore.clients import connect
from anycore.server.application import Server
from anycore.server.storage import Storage
from anycore.settings.sources import load_settings
from anycore.settings.store import store_url
from anycore.settings.tables import ListenSettings, ServerSettings, Settings
from anycore.store import QuotaError, StoreError, Typed
from anycore.store.settings import StoreSettings

PLUGIN = """
from anycore import Plugin, exposed

class Notes(Plugin):
    def start(self):
        self.started = self.store.get(b"note") or b""

    @exposed
    def keep(self, text: str) -> str:
        self.store.put(b"note", text.encode())
        return self.started.decode()
"""


class Counter(Plugin):
    """Counts."""

    @exposed
    def count(self) -> int:
        """Return how often it was called."""
        return Typed(self.store, int).update(b"n", lambda found: (found or 0) + 1) or 0


def settings_with(url: str, **store: float) -> Settings:
    return Settings(server=ServerSettings(store=url), store=StoreSettings(**store))  # type: ignore[arg-type]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"lmdb:{tmp_path / 'store'}?durability=process"


def test_it_is_opened_when_it_is_first_needed(url: str, tmp_path: Path) -> None:
    storage = Storage(settings_with(url))
    try:
        assert not (tmp_path / "store").exists()
        assert storage.open() is storage.open()
        assert (tmp_path / "store").exists()
    finally:
        storage.close()
    with pytest.raises(StoreError, match="has been closed"):
        storage.open().get(b"a")


def test_a_store_that_is_never_opened_is_closed(url: str, tmp_path: Path) -> None:
    Storage(settings_with(url)).close()
    assert not (tmp_path / "store").exists()


def test_one_that_cannot_be_opened_says_so_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    storage = Storage(settings_with(f"lmdb:{tmp_path / 'store'}"))
    with pytest.raises(StoreError, match="File exists"):
        storage.open()
    (tmp_path / "store").unlink()
    storage.open()
    storage.close()


def test_plugins_have_parts_of_their_own_with_quotas(url: str) -> None:
    storage = Storage(settings_with(url, plugin_keys=2, plugin_bytes=100))
    try:
        one, other = storage.part_of("one"), storage.part_of("other")
        one.put(b"a", b"1")
        assert other.get(b"a") is None
        one.put(b"b", b"1")
        with pytest.raises(QuotaError, match="'plugin/one' has 2 of 2 keys"):
            one.put(b"c", b"1")
        with pytest.raises(QuotaError, match="'plugin/one' takes 4 of 100 bytes"):
            one.put(b"a", b"x" * 100)
    finally:
        storage.close()


def test_a_quota_of_zero_is_none(url: str) -> None:
    storage = Storage(settings_with(url, plugin_keys=0, plugin_bytes=0))
    try:
        assert storage.part_of("one").figures() == {"keys": 0, "bytes": 0}
    finally:
        storage.close()


def test_what_has_ended_is_removed_while_it_is_open(url: str) -> None:
    storage = Storage(settings_with(url, expiry_interval=0.01))
    try:
        store = storage.open()
        with store.watch() as watch:
            store.put(b"a", b"1", ttl=0.001)
            told = watch.poll(30)
            while not any(change == (b"a", None) for change in told):
                told = watch.poll(30)
                assert told, "nobody has removed it"
    finally:
        storage.close()


def test_a_plugin_by_itself_keeps_things_in_memory() -> None:
    counter = Counter()
    assert [counter.count(), counter.count()] == [1, 2]
    assert Counter().count() == 1


def test_what_a_plugin_keeps_is_there_after_a_restart(url: str, tmp_path: Path) -> None:
    file = tmp_path / "notes.py"
    file.write_text(PLUGIN)
    for core in ("threaded", "asyncio"):
        place = url.replace("store?", f"{core}?")
        assert [keep(file, place, core, text) for text in ("first", "second")] == ["", "first"]
        assert keep(file, place, core, "third") == "second"


def keep(file: Path, url: str, core: str, text: str) -> str:
    """Serve the plugin, have it keep a text, and return what it had kept when it was started."""
    listen = (ListenSettings(url="http://127.0.0.1:0"),)
    settings = Settings(server=ServerSettings(store=url, core=core, plugins=(str(file),)), listen=listen)
    ready = threading.Event()
    server = Server(settings, lambda _: ready.set())
    thread = threading.Thread(target=server.run, kwargs={"signals": False})
    thread.start()
    try:
        assert ready.wait(60)
        with connect(server.urls[0]) as client:
            return str(client.notes.keep(text))
    finally:
        server.stop()
        thread.join(60)


def test_without_a_setting_it_is_in_the_directory_for_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/run/state:/run/other")
    assert store_url(Settings()) == "lmdb:/run/state/store"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert store_url(Settings()) == "lmdb:/var/lib/anycore/store"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/a b/state")
    assert store_url(Settings()) == "lmdb:/home/a%20b/state/anycore/store"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/alice")
    assert store_url(Settings()) == "lmdb:/home/alice/.local/state/anycore/store"


def test_a_file_names_it_relative_to_itself(tmp_path: Path) -> None:
    file = tmp_path / "anycore.toml"
    file.write_text('[server]\nstore = "lmdb:./var/store?durability=integrity"\n[store]\nplugin_keys = 5\n')
    settings = load_settings(file=str(file), environment={})
    assert settings.server.store == f"lmdb:{tmp_path / 'var' / 'store'}?durability=integrity"
    assert settings.store.plugin_keys == 5
    file.write_text('[server]\nstore = "memory:"\n')
    assert load_settings(file=str(file), environment={}).server.store == "memory:"


def test_problems_of_expiry_are_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="anycore.store")
    storage = Storage(settings_with(url, expiry_interval=0.01))
    store = storage.open()
    store.close()
    with caplog.at_level(logging.WARNING):
        while not caplog.records:
            storage._closing.wait(0.01)
    storage.close()
    assert "keys whose time has ended are not removed" in caplog.text
