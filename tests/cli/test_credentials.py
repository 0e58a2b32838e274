"""The commands that talk to a server sign in with what files, the environment and people tell them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from anycore.cli import credentials
from anycore.cli.credentials import of_client
from anycore.cli.failures import Failure
from anycore.identity.password_file import User, write_users
from anycore.settings.tables import ClientSettings

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that lets nobody in without a name; its folder has a token and a password."""
    from argon2 import PasswordHasher
    from click.testing import CliRunner
    from tests.cli.conftest import PLUGIN, Served

    from anycore.cli import main

    folder = tmp_path_factory.mktemp("guarded")
    (folder / "sample.py").write_text(PLUGIN)
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("wonder:land")
    write_users(folder / "passwords", {"alice": User("alice", hashed)})
    (folder / "secret").write_text("wonder:land\n")
    url = f"lmdb:{folder}/store"
    made = CliRunner().invoke(main, ["token", "create", "probe", "--scope", "sample.add", "--store", url])
    assert made.exit_code == 0
    (folder / "token").write_text(made.stdout)
    (folder / "anycore.toml").write_text(
        f"""
        [server]
        store = "{url}"
        [authentication]
        chain = ["token", "password"]
        password_file = "passwords"
        """
    )
    server = Served("sample.py", "--listen", "rpyc://127.0.0.1:0", cwd=folder)
    yield server, folder
    assert server.stop() == 0


def test_commands_sign_in_with_a_password_or_a_token(run: Run, guarded: Any) -> None:
    server, folder = guarded
    for url in (server.url, f"jsonrpc+{server.url}", server.rpyc_url):
        assert run("call", url, "sample.add", "2").exit_code == 1
        assert run("call", url, "sample.add", "2", "--user", "alice", ANYCORE_PASSWORD="wonder:land").stdout == "3\n"
        assert "sample.echo" in run("methods", url, "--user", "alice", "--password-file", f"{folder}/secret").stdout
        assert run("call", url, "sample.add", "2", "--token-file", f"{folder}/token").stdout == "3\n"
        token = (folder / "token").read_text().strip()
        assert run("call", url, "sample.add", "2", ANYCORE_TOKEN=token).stdout == "3\n"
        refused = run("call", url, "sample.echo", "2", ANYCORE_TOKEN=token)
        assert refused.exit_code == 1 and "may" in refused.stderr  # over RPyC a name that it may not call is none
        wrong = run("call", url, "sample.add", "2", "--user", "alice", ANYCORE_PASSWORD="x")
        assert wrong.exit_code in (1, 4) and "is wrong" in wrong.stderr


def test_a_password_without_a_user_is_not_passed_over(run: Run) -> None:
    result = run("call", "http://127.0.0.1:1", "x", "--password-file", "secret")
    assert result.exit_code == 3
    assert "a password file is given and no user; add --user NAME, or `user` below [client]" in result.stderr
    result = run("call", "rpyc://alice:sesame@localhost", "x")
    assert "sign in by other means: --user NAME and --password-file FILE, or --token-file FILE" in result.stderr
    assert "sesame" not in result.stderr


def test_secrets_come_from_files_the_environment_or_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    assert of_client(ClientSettings()) == (None, "")
    with pytest.raises(Failure, match="no terminal"):
        of_client(ClientSettings(user="alice"))
    monkeypatch.setattr(credentials, "ask", lambda prompt: prompt)
    assert of_client(ClientSettings(user="alice")) == (("alice", "Password of alice"), "")
    monkeypatch.setenv("ANYCORE_PASSWORD", "from the environment")
    monkeypatch.setenv("ANYCORE_TOKEN", "token")
    assert of_client(ClientSettings()) == (None, "token")
    assert of_client(ClientSettings(user="alice")) == (("alice", "from the environment"), "")
    settings = ClientSettings(user="alice", password_file=str(tmp_path / "secret"))
    assert of_client(settings) == (("alice", "from the file"), "")
    assert of_client(ClientSettings(token_file=str(tmp_path / "secret"))) == (None, "from the file")
    with pytest.raises(Failure, match="leave one of them out"):
        of_client(ClientSettings(user="alice", token_file="x"))
