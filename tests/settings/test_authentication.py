from __future__ import annotations

from pathlib import Path

import pytest

from anycore.settings.problems import ConfigurationError
from anycore.settings.sources import load_settings


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('chain = ["tokens"]', "did you mean"),
        ('chain = ["token", "token"]', "a name stands there twice"),
        ('chain = ["anonymous", "token"]', "anonymous is the end of the chain"),
        ('chain = ["password"]', "password needs users"),
        ('password_file = "missing"', "there is no file"),
        ('chain = ["token"]\npassword_file = "here"', "password is not in the chain"),
        ('realm = "say \\"friend\\""', "cannot be sent"),
        ('machine_password = "secret"', "no argon2id hash"),
        ('chain = ["proxy"]\nproxy_user = "X-User"', "list them in proxies"),
        ('chain = ["proxy"]\nproxies = ["unix"]', "set proxy_user or proxy_dn"),
        ('chain = ["proxy"]\nproxies = ["example.org"]\nproxy_user = "X-User"', "write addresses, networks"),
        ('chain = ["proxy"]\nproxies = ["unix"]\nproxy_user = "X User"', "no name of a header field"),
        ('proxies = ["unix"]\nproxy_address = "X Real IP"', "no name of a header field"),
        ('proxies = ["example.org"]', "write addresses, networks"),
        ('proxy_address = "Forwarded"', "no proxy is believed"),
        ('proxy_dn = "X-DN"', "nobody asks proxies"),
        ('[[listen]]\nurl = "http://127.0.0.1:1"\nauthenticator = "a:b"', "has no place for it"),
        ('[[listen]]\nurl = "rpyc://127.0.0.1:1"\nauthenticator = "a"', "expected module:name"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_cure(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "here").touch()
    file = tmp_path / "anycore.toml"
    file.write_text(f"[authentication]\n{text}\n")
    with pytest.raises(ConfigurationError, match=r"anycore\.toml") as caught:
        load_settings(file=str(file), environment={})
    assert reason in str(caught.value)


def test_what_makes_sense_is_taken(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    file = tmp_path / "anycore.toml"
    file.write_text(
        """
        [authentication]
        chain = ["proxy", "certificate", "machine", "plugin", "password", "unix"]
        password_file = "here"
        proxies = ["192.0.2.0/24", "2001:db8::1", "unix"]
        proxy_dn = "X-SSL-Client-DN"
        """
    )
    assert load_settings(file=str(file), environment={}).authentication.proxy_dn == "X-SSL-Client-DN"
